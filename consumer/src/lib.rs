//! Executes jobs: a daemon, and a library for programs that bring their own handlers.
//!
//! A program of one's own needs little more than its handlers:
//!
//! ```no_run
//! use polychron_consumer::{Consumer, Context, HandlerError};
//!
//! #[derive(serde::Deserialize)]
//! struct Invoice {
//!     number: u32,
//! }
//!
//! async fn send_invoice(invoice: Invoice, context: Context) -> Result<String, HandlerError> {
//!     context.log(format!("sending invoice {}", invoice.number));
//!     Ok("sent".to_owned())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Consumer::builder().handler("send_invoice", send_invoice).run()
//! }
//! ```
//!
//! Any number of processes may run; they share the work without knowing of each other. Start with
//! `worker.rs`, which takes one delivery from its receipt to its acknowledgement.

mod builder;
mod builtin;
mod context;
pub mod diagnostic;
mod executor;
mod handler;
mod heartbeat;
mod reporter;
pub mod testing;
mod worker;
mod writer;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use shared::clock::Clock;
use shared::config::Config;
use shared::liveness::Watchdog;
use shared::process;
use shared::queue::{Publisher, Queue, Receiver};
use shared::random::Random;
use shared::readiness::Probes;
use shared::shutdown::Shutdown;
use shared::store::{self, ClaimTerms, chain};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use builder::Builder;
pub use context::Context;
pub use handler::{Handler, HandlerError, Registry};
/// The version whose pools a [`Context`] gives.
pub use sqlx;

use executor::Executor;
use heartbeat::Leases;
use reporter::Reporter;
use worker::Worker;
use writer::Writers;

/// How often a worker says in the control database that it lives.
const REGISTER_EVERY: Duration = Duration::from_secs(10);
/// How often the list of tenants is read again.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// How long results may take to be written once everything has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// A worker not heard of for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// What a consumer needs.
pub struct Consumer {
    /// Whose jobs it executes.
    pub tenants: Arc<Tenants>,
    /// Where messages come from.
    pub queue: Queue,
    /// What it can do.
    pub registry: Registry,
    /// Its settings.
    pub config: Config,
    /// Where its random numbers come from.
    pub random: Random,
    /// What it tells about itself.
    pub telemetry: Telemetry,
}

impl Consumer {
    /// A consumer with handlers of one's own, in a program of one's own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Executes jobs until asked to stop. True: nothing is left running in this worker's name.
    ///
    /// # Errors
    /// Only what prevents a start; whatever fails later is tried again.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<bool> {
        let handlers = HandlerThreads::start(self.config.prefetch)?;
        Ok(self.run_on(handlers.handle(), shutdown).await)
    }

    /// The same, with handlers on a runtime of the caller's. On the one that runs this, handlers
    /// that block would hold up everything: that is for tests which must own every step.
    pub async fn run_on(self, handlers: Handle, shutdown: Shutdown) -> bool {
        let Consumer { tenants, queue, registry, config, random, telemetry } = self;
        let clock = tenants.clock().clone();
        tokio::select! {
            biased;
            () = tenants.wait_for_first() => {}
            () = shutdown.drain.cancelled() => return true,
        }
        let name = process::name(&random);
        let slots = Arc::new(Semaphore::new(config.prefetch));
        let broker_name = format!("polychron consumer {name}");
        let (publisher, publishing) = queue.publisher(&broker_name, &config.queues);
        let (mut receiver, receiving) = queue.receiver(&broker_name, &config.queues, slots.clone());
        watch(&telemetry, &config, &tenants, &publisher, &receiver, &shutdown);
        let metrics = telemetry.metrics.clone();
        let terms = ClaimTerms {
            worker: name.clone(),
            queues: config.queues.clone(),
            lease: config.lease,
            default_timeout: config.job_timeout,
        };
        let writers = Arc::new(Writers::new(tenants.clone(), terms, random, metrics.clone()));
        let leases = Arc::new(Leases::new(tenants.clone(), &name, config.lease, metrics.clone()));
        measure(&telemetry, &registry, &config, &slots, &writers);
        let reporter = Arc::new(Reporter::new(tenants.clone(), &name));
        let worker = Arc::new(Worker {
            name: name.clone(),
            tenants: tenants.clone(),
            publisher,
            registry,
            executor: Executor::new(handlers, clock.clone()),
            writers: writers.clone(),
            leases: leases.clone(),
            reporter: reporter.clone(),
            secrets: config.secrets.clone(),
            slots,
            metrics,
            tracer: telemetry.tracer.clone(),
            aside: worker::aside(),
            release: shutdown.release.clone(),
            clock,
            in_hand: Mutex::new(HashSet::new()),
            refreshed: tokio::sync::Mutex::default(),
        });
        info!(
            worker = name,
            slots = config.prefetch,
            queues = config.queues.join(","),
            "executing jobs"
        );

        // What must go on until the last result is written.
        let mut background = tokio::task::JoinSet::new();
        background.spawn(publishing);
        background.spawn(leases.run(telemetry.watch("heartbeats")));
        background.spawn(keep_fresh(tenants.clone(), telemetry.watch("refresh")));
        background.spawn(register(worker.clone(), config.clone(), telemetry.watch("register")));
        background.spawn(reporter.run());
        let receiving = tokio::spawn(receiving);

        let serving = serve_all(&worker, &mut receiver, &shutdown).await;
        drain(&serving, &worker, &config, &shutdown).await;
        let clean = tokio::time::timeout(FLUSH_LIMIT, writers.emptied()).await.is_ok();
        telemetry.tracer.flush(FLUSH_LIMIT).await;
        drop(receiver);
        let _ = tokio::time::timeout(Duration::from_secs(3), receiving).await; // it says goodbye
        say_goodbye(&tenants, &name).await;
        background.shutdown().await;
        clean
    }
}

/// The runtime that handlers run on. Dropping it waits for none of them: their rows are final or
/// given back.
struct HandlerThreads(Option<Runtime>);

impl HandlerThreads {
    /// As many threads as slots and one, so that handlers which block leave one to the others.
    fn start(slots: usize) -> anyhow::Result<HandlerThreads> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(slots + 1)
            .thread_name("handler")
            .enable_all()
            .build()
            .context("cannot start the handlers' threads")?;
        Ok(HandlerThreads(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        // It is there until it is dropped.
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for HandlerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The handlers that a process knows without being told: the built-in types, those that the
/// operator has switched on, and the diagnostic ones if they are wanted.
pub fn known_types(config: &Config, clock: &Clock) -> Registry {
    let mut registry = Registry::default();
    builtin::register(&mut registry, config, clock);
    if config.diagnostics {
        diagnostic::register(&mut registry, clock);
    }
    registry
}

/// Lets health see the broker and the databases, if anybody can ask for it.
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

/// Figures of this process that are known anyway.
fn measure(
    telemetry: &Telemetry,
    registry: &Registry,
    config: &Config,
    slots: &Arc<Semaphore>,
    writers: &Arc<Writers>,
) {
    let (all, slots, writers) = (config.prefetch, slots.clone(), writers.clone());
    telemetry.metrics.know_job_types(registry.job_types());
    telemetry.metrics.slots.set(all as i64);
    telemetry.metrics.at_scrape(move |figures| {
        figures.slots_in_use.set(all.saturating_sub(slots.available_permits()) as i64);
        figures.results_unwritten.set(writers.unwritten_ends() as i64);
    });
}

/// Serves deliveries until asked to stop; answers with those that are still being served.
async fn serve_all(
    worker: &Arc<Worker>,
    receiver: &mut Receiver,
    shutdown: &Shutdown,
) -> TaskTracker {
    let serving = TaskTracker::new();
    loop {
        let next = async {
            // A slot before a delivery: what waits, waits where others can take it. Only seen to
            // be free, not taken: the receiver asks for as many deliveries as there are free
            // slots, and one that waits here in vain would never be used.
            drop(worker.slots.acquire().await.ok()?);
            let delivery = receiver.next().await;
            // Seldom, a late claim has taken it meanwhile.
            Some((delivery, worker.slots.clone().acquire_owned().await.ok()?))
        };
        let (delivery, slot) = tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => return serving,
            next = next => match next {
                Some(next) => next,
                None => return serving,
            },
        };
        serving.spawn(worker.clone().serve(delivery, slot));
    }
}

/// Lets what runs come to its end, and gives the rest back when patience or a second request says
/// so.
async fn drain(serving: &TaskTracker, worker: &Worker, config: &Config, shutdown: &Shutdown) {
    serving.close();
    let running = serving.len();
    if running > 0 {
        info!(worker = worker.name, running, "waiting for what runs");
    }
    tokio::select! {
        biased;
        () = serving.wait() => {}
        () = shutdown.release_after(config.drain_timeout) => {
            // Handlers that heed nothing would keep their slots for ever; their rows are given
            // back all the same, and the process needs not wait for them.
            let _ = tokio::time::timeout(FLUSH_LIMIT, async {
                serving.wait().await;
            }).await;
        }
    }
}

async fn refresh(tenants: &Tenants) {
    if let Err(error) = tenants.refresh().await {
        warn!("the list of tenants could not be read: {}", chain(&error));
    }
}

async fn keep_fresh(tenants: Arc<Tenants>, watchdog: Watchdog) {
    loop {
        watchdog.ping();
        tenants.clock().sleep(REFRESH_EVERY).await;
        refresh(&tenants).await;
        tenants.connections().close_idle();
    }
}

/// Keeps this worker's row in the control database.
async fn register(worker: Arc<Worker>, config: Config, watchdog: Watchdog) {
    let (pid, host) = (process::id(), process::host());
    loop {
        watchdog.ping();
        let control = worker.tenants.control();
        let registered = async {
            let now = control.now().await?;
            let running = config.prefetch - worker.slots.available_permits();
            let row = store::Worker {
                name: worker.name.clone(),
                host: host.clone(),
                pid,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                queues: config.queues.clone(),
                job_types: worker.registry.job_types(),
                slots: config.prefetch as i32,
                running: running as i32,
                started_at: now,
                seen_at: now,
            };
            control.register_worker(&row).await
        };
        if let Err(error) = registered.await {
            warn!("this worker could not be registered: {}", chain(&error));
        }
        worker.clock.sleep(REGISTER_EVERY).await;
    }
}

async fn say_goodbye(tenants: &Tenants, name: &str) {
    let control = tenants.control();
    if let Ok(now) = control.now().await {
        // If it fails, the row is forgotten by whoever says goodbye later.
        let _ = control.unregister_worker(name, now - FORGET_AFTER).await;
    }
}
