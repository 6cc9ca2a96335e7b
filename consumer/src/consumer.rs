//! One consumer process: connects what it consists of, takes deliveries, and shuts down.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::clock::Clock;
use shared::config::Config;
use shared::liveness::Watchdog;
use shared::process;
use shared::queue::{Publisher, Queue, Receiver};
use shared::random::Random;
use shared::readiness::Probes;
use shared::shutdown::Shutdown;
use shared::store::{ClaimTerms, chain};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::executor::Executor;
use crate::handler::Registry;
use crate::handler_process::Handlers;
use crate::handler_threads::HandlerThreads;
use crate::heartbeat::Leases;
use crate::reporter::Reporter;
use crate::worker::{Detached, InFlight, Received, Runner, TenantLookup, Worker};
use crate::writer::Writers;
use crate::{builtin, diagnostic, registration};

/// How often the list of tenants is read.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// How long results may take to be written after the last handler has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// How long the broker connection may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A consumer process, not yet running. Programs with handlers of their own start with
/// [`Consumer::builder`].
pub struct Consumer {
    /// The tenants whose jobs it executes.
    pub tenants: Arc<Tenants>,
    /// Where messages come from.
    pub queue: Queue,
    /// The handlers.
    pub registry: Registry,
    /// The settings.
    pub config: Config,
    /// Where random numbers come from.
    pub random: Random,
    /// Health, metrics and traces.
    pub telemetry: Telemetry,
}

/// How a consumer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It wrote every result.
    AllWritten,
    /// It could not write every result. The executions without one are rescued when their leases
    /// expire.
    ResultsMissing,
}

impl Consumer {
    /// Executes jobs until `shutdown` asks it to stop.
    ///
    /// # Errors
    /// If it cannot start. Later failures are retried.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<Stopped> {
        let handlers = HandlerThreads::start(self.config.prefetch)?;
        self.run_on(handlers.handle(), shutdown).await
    }

    /// The same with handlers on a runtime of the caller's. On the runtime that runs this, a handler
    /// that blocks would stop everything; only tests that control every step should do that.
    ///
    /// # Errors
    /// As for [`run`](Consumer::run).
    pub async fn run_on(self, runtime: Handle, shutdown: Shutdown) -> anyhow::Result<Stopped> {
        let Consumer { tenants, queue, registry, config, random, telemetry } = self;
        let clock = tenants.clock().clone();
        tokio::select! {
            biased;
            () = tenants.wait_for_first() => {}
            () = shutdown.drain.cancelled() => return Ok(Stopped::AllWritten),
        }
        let name = process::name(&random);
        let handlers = tokio::select! {
            biased;
            started = start_handlers(&config, &registry, &name, &telemetry, &clock) => started?,
            // The launchers kill the processes when this one exits.
            () = shutdown.drain.cancelled() => return Ok(Stopped::AllWritten),
        };
        let slots = Arc::new(Semaphore::new(config.prefetch));
        let connection = format!("polychron consumer {name}");
        let (publisher, publishing) = queue.publisher(&connection, &config.queues);
        let (mut receiver, receiving) = queue.receiver(&connection, &config.queues, slots.clone());
        watch(&telemetry, &config, &tenants, &publisher, &receiver, &shutdown);
        let metrics = telemetry.metrics.clone();
        let terms = claim_terms(&name, &config);
        let writers = Arc::new(Writers::new(tenants.clone(), terms, random, metrics.clone()));
        let leases = Arc::new(Leases::new(tenants.clone(), &name, config.lease, metrics.clone()));
        let reporter = Arc::new(Reporter::new(tenants.clone(), &name));
        let runner = Runner {
            worker: name.clone(),
            registry,
            handlers: handlers.clone(),
            secrets: config.secrets.clone(),
            executor: Executor::new(runtime, clock.clone()),
            reporter: reporter.clone(),
            release: shutdown.release.clone(),
            clock: clock.clone(),
        };
        measure(&telemetry, &runner, &config, &slots, &writers);
        let worker = Arc::new(Worker {
            name: name.clone(),
            tenants: TenantLookup::new(tenants.clone()),
            publisher,
            runner,
            writers: writers.clone(),
            leases,
            slots,
            detached: Detached::default(),
            waiting: Detached::default(),
            handlers: handlers.clone(),
            in_flight: InFlight::default(),
            metrics,
            tracer: telemetry.tracer.clone(),
            release: shutdown.release.clone(),
            drain: shutdown.drain.clone(),
            clock,
        });
        let queues = config.queues.join(",");
        info!(worker = name, slots = config.prefetch, queues, "executing jobs");

        let mut background = background(&worker, &config, &tenants, &telemetry, reporter);
        background.spawn(publishing);
        let receiving = tokio::spawn(receiving);

        let serving = serve_all(&worker, &mut receiver, &shutdown).await;
        drain(&serving, &worker, &config, &shutdown).await;
        let flushed = tokio::time::timeout(FLUSH_LIMIT, writers.flushed()).await;
        handlers.end().await;
        telemetry.tracer.flush(FLUSH_LIMIT).await;
        drop(receiver);
        let _ = tokio::time::timeout(CLOSE_LIMIT, receiving).await;
        registration::end(tenants.control(), &name).await;
        background.shutdown().await;
        Ok(if flushed.is_ok() { Stopped::AllWritten } else { Stopped::ResultsMissing })
    }
}

fn claim_terms(worker: &str, config: &Config) -> ClaimTerms {
    ClaimTerms {
        worker: worker.to_owned(),
        queues: config.queues.clone(),
        lease: config.lease,
        default_timeout: config.job_timeout,
    }
}

/// Starts the handler processes, and shows them in health and metrics.
async fn start_handlers(
    config: &Config,
    registry: &Registry,
    worker: &str,
    telemetry: &Telemetry,
    clock: &Clock,
) -> anyhow::Result<Handlers> {
    let (own, metrics) = (registry.job_types(), &telemetry.metrics);
    let handlers = Handlers::start(config, own, worker, clock, metrics).await?;
    let (shown, measured) = (handlers.clone(), handlers.clone());
    metrics.at_scrape(move |figures| measured.measure(figures));
    telemetry.readiness.show_handlers(move || shown.status());
    Ok(handlers)
}

/// Spawns the tasks that run until the last result is written.
fn background(
    worker: &Arc<Worker>,
    config: &Config,
    tenants: &Arc<Tenants>,
    telemetry: &Telemetry,
    reporter: Arc<Reporter>,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    background.spawn(worker.leases.clone().run(telemetry.watch("heartbeats")));
    background.spawn(keep_fresh(tenants.clone(), telemetry.watch("refresh")));
    let (clock, watchdog) = (worker.clock.clone(), telemetry.watch("register"));
    background.spawn(registration::run(worker.clone(), config.clone(), clock, watchdog));
    background.spawn(reporter.run());
    background
}

/// The handlers of every consumer: the built-in job types, those among them that need a setting if
/// it is set, and the diagnostic ones if they are switched on.
pub fn known_types(config: &Config, clock: &Clock) -> Registry {
    let mut registry = Registry::default();
    builtin::register(&mut registry, config, clock);
    if config.diagnostics {
        diagnostic::register(&mut registry, clock);
    }
    registry
}

/// Lets health observe the broker and the databases, if it is served at all.
fn watch(
    telemetry: &Telemetry,
    config: &Config,
    tenants: &Arc<Tenants>,
    publisher: &Publisher,
    receiver: &Receiver,
    shutdown: &Shutdown,
) {
    telemetry.watch_driver("publishing", publisher.watchdog());
    telemetry.watch_driver("receiving", receiver.watchdog());
    if config.http.is_some() {
        tokio::spawn(telemetry.clone().probe(Probes {
            tenants: tenants.clone(),
            publisher: publisher.clone(),
            receiving: Some(receiver.state()),
            queues: config.queues.clone(),
            drain: shutdown.drain.clone(),
        }));
    }
}

/// Gauges that are read when metrics are scraped.
fn measure(
    telemetry: &Telemetry,
    runner: &Runner,
    config: &Config,
    slots: &Arc<Semaphore>,
    writers: &Arc<Writers>,
) {
    let (all, slots, writers) = (config.prefetch, slots.clone(), writers.clone());
    telemetry.metrics.add_known_job_types(runner.job_types());
    telemetry.metrics.slots.set(all as i64);
    telemetry.metrics.at_scrape(move |figures| {
        figures.slots_in_use.set(all.saturating_sub(slots.available_permits()) as i64);
        figures.results_unwritten.set(writers.unwritten_results() as i64);
    });
}

/// Serves deliveries until asked to stop. Returns the tasks that still serve some.
async fn serve_all(
    worker: &Arc<Worker>,
    receiver: &mut Receiver,
    shutdown: &Shutdown,
) -> TaskTracker {
    let serving = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => return serving,
            received = receive(worker, receiver) => {
                for received in received {
                    serving.spawn(worker.clone().serve(received));
                }
            }
        }
    }
}

/// Waits for a delivery, and takes those that came with it. All are announced before the first is
/// served, so the writer claims them together.
async fn receive(worker: &Worker, receiver: &mut Receiver) -> Vec<Received> {
    let announce = |delivery, slot| {
        let arrival = worker.writers.arrivals().announce();
        Received { delivery, slot, arrival }
    };
    // A delivery is taken only while a slot is free; until then another consumer can have it. The
    // slot is not held meanwhile, because the receiver asks for as many deliveries as are free.
    drop(worker.slots.acquire().await);
    let delivery = receiver.next().await;
    // Rarely, a detached claim has taken the slot in between.
    let Ok(slot) = worker.slots.clone().acquire_owned().await else { return Vec::new() };
    let mut received = vec![announce(delivery, slot)];
    while let Ok(slot) = worker.slots.clone().try_acquire_owned() {
        let Some(delivery) = receiver.next().now_or_never() else { break };
        received.push(announce(delivery, slot));
    }
    received
}

/// Waits for the running handlers. At the drain timeout, or when asked a second time, gives back
/// what still runs.
async fn drain(serving: &TaskTracker, worker: &Worker, config: &Config, shutdown: &Shutdown) {
    serving.close();
    let running = serving.len();
    if running > 0 {
        info!(worker = worker.name, running, "waiting for running executions");
    }
    tokio::select! {
        biased;
        () = serving.wait() => {}
        () = shutdown.release_after(config.drain_timeout) => {
            // A handler that ignores the request keeps its slot. Its row is given back all the same,
            // so the process need not wait for it.
            let _ = tokio::time::timeout(FLUSH_LIMIT, serving.wait()).await;
        }
    }
}

async fn keep_fresh(tenants: Arc<Tenants>, watchdog: Watchdog) {
    loop {
        watchdog.ping();
        tenants.clock().sleep(REFRESH_EVERY).await;
        if let Err(error) = tenants.refresh().await {
            warn!("the list of tenants could not be read: {}", chain(&error));
        }
        tenants.connections().close_idle();
    }
}
