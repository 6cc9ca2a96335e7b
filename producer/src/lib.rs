//! Finds due jobs of all tenants, dispatches them, and recovers what is lost on the way.
//!
//! Any number of producers may run. They partition the tenants among themselves (`partition.rs`), and
//! each statement is guarded in the tenant's database, so that two producers at one tenant do no harm.
//!
//! Start with `poll_loop.rs`. A poll (`tenant_poll.rs`) gathers facts and dispatches (`dispatcher.rs`,
//! `planner.rs`), and `next_poll.rs` decides from the facts when the tenant is polled next.

pub mod capacity;
pub mod dispatcher;
pub mod lateness;
mod membership;
pub mod messenger;
pub mod next_poll;
mod partition;
mod plan_budget;
pub mod planner;
pub mod poll_facts;
pub mod poll_interval;
mod poll_loop;
pub mod program;
pub mod pruner;
pub mod replanner;
pub mod rescuer;
pub mod sweeper;
pub mod tenant_poll;
mod timer_queue;

use std::sync::Arc;
use std::time::Duration;

use shared::config::Config;
use shared::liveness::Watchdog;
use shared::queue::Queue;
use shared::random::Random;
use shared::readiness::Probes;
use shared::shutdown::Shutdown;
use shared::store::chain;
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use capacity::QueueCapacity;
use lateness::Lateness;
use membership::Membership;
use messenger::Messenger;
use partition::Partition;
use poll_interval::PollIntervals;
use poll_loop::PollLoop;
use pruner::Pruner;
use replanner::Replanner;
use tenant_poll::TenantPoller;

/// How often the lists of tenants and of workers are read.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// A worker whose row is older than this is dead.
const WORKER_DEAD_AFTER: Duration = Duration::from_secs(30);
/// How long a producer that stops waits for messages that are being published.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// A producer.
pub struct Producer {
    /// The tenants whose jobs it dispatches.
    pub tenants: Arc<Tenants>,
    /// The queue to which it publishes.
    pub queue: Queue,
    /// Its settings.
    pub config: Config,
    /// The other producers of the same tenants.
    pub peers: Peers,
    /// Its random numbers.
    pub random: Random,
    /// Its telemetry.
    pub telemetry: Telemetry,
}

/// The other producers of the same tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// There are none, as with a queue in the process.
    None,
    /// They register in the control database, and the tenants are partitioned among all.
    Registered,
}

impl Producer {
    /// Dispatches jobs until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let Producer { tenants, queue, config, peers, random, telemetry } = self;
        tokio::select! {
            biased;
            () = tenants.wait_for_first() => {}
            () = shutdown.drain.cancelled() => return,
        }
        let name = format!("polychron producer {}", std::process::id());
        let (publisher, publishing) = queue.publisher(&name, &config.queues);
        let (wakes, receiving_wakes) = queue.wakes(&name);
        telemetry.watch_driver("publishing", publisher.watchdog());
        telemetry.watch_driver("receiving wakes", wakes.watchdog());
        let (publishing, receiving_wakes) =
            (tokio::spawn(publishing), tokio::spawn(receiving_wakes));
        if config.http.is_some() {
            tokio::spawn(telemetry.clone().probe(Probes {
                tenants: tenants.clone(),
                publisher: publisher.clone(),
                receiving: None,
                queues: config.queues.clone(),
                drain: shutdown.drain.clone(),
            }));
        }
        let metrics = telemetry.metrics.clone();
        let membership =
            Membership::new(tenants.clone(), publisher.clone(), metrics.clone(), &random);
        let clock = tenants.clock().clone();
        let poller = Arc::new(TenantPoller {
            capacity: QueueCapacity::new(publisher.clone(), clock.clone(), &config.queues),
            messenger: Messenger::new(
                publisher,
                metrics.clone(),
                telemetry.tracer.clone(),
                clock.clone(),
            ),
            lateness: Lateness::new(random.clone()),
            pruner: Pruner::new(&config, random.clone(), metrics.clone()),
            replanner: Replanner::default(),
            random,
            intervals: PollIntervals::new(config.poll_interval, metrics.clone()),
            metrics,
            clock,
        });
        info!(tenants = tenants.all().len(), "dispatching jobs");

        let (refreshed, membership_changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let refreshing = tokio::spawn(keep_fresh(
            tenants.clone(),
            poller.clone(),
            refreshed.clone(),
            telemetry.watch("refresh"),
        ));
        let partitions = match peers {
            Peers::None => watch::channel(Partition::whole()).1,
            Peers::Registered => join(membership, &membership_changed, &shutdown, &telemetry).await,
        };
        PollLoop::new(tenants, poller.clone(), partitions, telemetry.watch("polling"))
            .run(wakes, refreshed, membership_changed, shutdown.drain)
            .await;

        refreshing.abort();
        poller.messenger.flush(FLUSH_LIMIT).await;
        telemetry.tracer.flush(FLUSH_LIMIT).await;
        drop(poller);
        // Both drivers close their connection, if the broker answers.
        let _ = tokio::time::timeout(Duration::from_secs(3), async {
            let _ = tokio::join!(publishing, receiving_wakes);
        })
        .await;
    }
}

/// Joins the other producers until `shutdown`, and returns the partition as it changes.
async fn join(
    mut membership: Membership,
    changed: &Arc<Notify>,
    shutdown: &Shutdown,
    telemetry: &Telemetry,
) -> watch::Receiver<Partition> {
    let partitions = membership.partitions();
    membership.join().await;
    let (changed, stop) = (changed.clone(), shutdown.drain.clone());
    tokio::spawn(membership.run(changed, stop, telemetry.watch("membership")));
    partitions
}

/// Keeps the lists of tenants and workers up to date.
async fn keep_fresh(
    tenants: Arc<Tenants>,
    poller: Arc<TenantPoller>,
    refreshed: Arc<Notify>,
    watchdog: Watchdog,
) {
    let mut away = false;
    loop {
        watchdog.ping();
        match refresh(&tenants, &poller).await {
            Ok(()) if away => {
                away = false;
                info!("the control database answers again");
            }
            Ok(()) => {}
            Err(error) if !away => {
                away = true;
                let reason = chain(&error);
                warn!(
                    "the control database cannot be read; the tenants known last stay in force: {reason}"
                );
            }
            Err(_) => {}
        }
        refreshed.notify_one();
        tenants.connections().close_idle();
        tenants.clock().sleep(REFRESH_EVERY).await;
    }
}

async fn refresh(tenants: &Tenants, poller: &TenantPoller) -> shared::store::Result<()> {
    let control = tenants.control();
    let now = control.now().await?;
    poller.capacity.set_workers(&control.list_workers(now - WORKER_DEAD_AFTER).await?);
    tenants.refresh().await?;
    let known = tenants.all();
    poller.lateness.retain(|tenant| known.contains_key(&tenant));
    poller.pruner.retain(|tenant| known.contains_key(&tenant));
    poller.replanner.retain(|tenant| known.contains_key(&tenant));
    poller.pruner.step_control(control, now).await
}
