//! Finds the tenants' due jobs, dispatches them, and collects what was lost on the way.
//!
//! Any number of producers may run: they divide the tenants among themselves (`share.rs`), and each
//! move is guarded in the tenant's database, so that two at one tenant do no harm. Start with `rounds.rs`, the loop, and `look.rs`, which is one step of
//! it; `dispatcher.rs` is where a job's life goes on from `schedule.rs`.

mod agenda;
pub mod backlog;
pub mod dispatcher;
pub mod lateness;
pub mod look;
pub mod messenger;
pub mod pace;
pub mod planner;
pub mod pruner;
pub mod rescuer;
mod rounds;
mod share;
mod sharing;
pub mod sweeper;

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

use backlog::Backlog;
use lateness::Lateness;
use look::Looker;
use messenger::Messenger;
use pace::Pace;
use pruner::Pruner;
use rounds::Rounds;
use share::Share;
use sharing::Sharing;

/// How often the lists of tenants and of workers are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// A worker not heard of for this long counts no more.
const WORKER_LASTS: Duration = Duration::from_secs(30);
/// How long messages on their way may take at the end.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// What a producer needs.
pub struct Producer {
    /// Whose jobs it dispatches.
    pub tenants: Arc<Tenants>,
    /// Where messages go.
    pub queue: Queue,
    /// Its settings.
    pub config: Config,
    /// Whether it is the only one, by the nature of its queue; else it divides the tenants with the
    /// others that it finds in the control database.
    pub alone: bool,
    /// Where its random numbers come from.
    pub random: Random,
    /// What it tells about itself.
    pub telemetry: Telemetry,
}

impl Producer {
    /// Dispatches jobs until asked to stop.
    pub async fn run(self, shutdown: Shutdown) {
        let Producer { tenants, queue, config, alone, random, telemetry } = self;
        tokio::select! {
            biased;
            () = tenants.wait_for_first() => {}
            () = shutdown.drain.cancelled() => return,
        }
        let name = format!("polychron producer {}", std::process::id());
        let (publisher, publishing) = queue.publisher(&name, &config.queues);
        let (wakes, hearing) = queue.wakes(&name);
        telemetry.watch_driver("publishing", publisher.watchdog());
        telemetry.watch_driver("hearing wakes", wakes.watchdog());
        let (publishing, hearing) = (tokio::spawn(publishing), tokio::spawn(hearing));
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
        let sharing = Sharing::new(tenants.clone(), publisher.clone(), metrics.clone(), &random);
        let clock = tenants.clock().clone();
        let looker = Arc::new(Looker {
            backlog: Backlog::new(publisher.clone(), clock.clone(), &config.queues),
            messenger: Messenger::new(publisher, metrics.clone(), telemetry.tracer.clone(), clock),
            lateness: Lateness::new(random.clone()),
            pruner: Pruner::new(&config, random.clone(), metrics.clone()),
            random,
            pace: Pace::new(config.poll_interval, tenants.clock().clone()),
            metrics,
        });
        info!(tenants = tenants.all().len(), "dispatching jobs");

        let (refreshed, called) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let refreshing = tokio::spawn(keep_fresh(
            tenants.clone(),
            looker.clone(),
            refreshed.clone(),
            telemetry.watch("refresh"),
        ));
        let shares = match alone {
            true => watch::channel(Share::whole()).1,
            false => share(sharing, &called, &shutdown, &telemetry).await,
        };
        Rounds::new(tenants, looker.clone(), shares, telemetry.watch("rounds"))
            .run(wakes, refreshed, called, shutdown.drain)
            .await;

        refreshing.abort();
        looker.messenger.settled(SETTLE_LIMIT).await;
        telemetry.tracer.flush(SETTLE_LIMIT).await;
        drop(looker);
        // Both say goodbye to the broker, if it listens.
        let _ = tokio::time::timeout(Duration::from_secs(3), async {
            let _ = tokio::join!(publishing, hearing);
        })
        .await;
    }
}

/// Joins the other producers, and stays with them until asked to stop; answers with the share as it
/// changes.
async fn share(
    mut sharing: Sharing,
    called: &Arc<Notify>,
    shutdown: &Shutdown,
    telemetry: &Telemetry,
) -> watch::Receiver<Share> {
    let shares = sharing.shares();
    sharing.join().await;
    tokio::spawn(sharing.run(called.clone(), shutdown.drain.clone(), telemetry.watch("sharing")));
    shares
}

/// Reads the lists of tenants and workers again and again.
async fn keep_fresh(
    tenants: Arc<Tenants>,
    looker: Arc<Looker>,
    refreshed: Arc<Notify>,
    watchdog: Watchdog,
) {
    let mut away = false;
    loop {
        watchdog.ping();
        match refresh(&tenants, &looker).await {
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

async fn refresh(tenants: &Tenants, looker: &Looker) -> shared::store::Result<()> {
    let control = tenants.control();
    let now = control.now().await?;
    looker.backlog.hear_of(&control.list_workers(now - WORKER_LASTS).await?);
    tenants.refresh().await?;
    let known = tenants.all();
    looker.lateness.retain(|tenant| known.contains_key(&tenant));
    looker.pruner.retain(|tenant| known.contains_key(&tenant));
    looker.pruner.tick_control(control, now).await
}
