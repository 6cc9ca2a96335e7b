//! A producer or consumer as a simulated process: the real code on a runtime of its own, which runs only
//! when the simulation lets it, and is dropped with everything in flight when it is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use consumer::Consumer;
use producer::{Peers, Producer};
use shared::clock::Clock;
use shared::config::{Config, Sources};
use shared::database_url::DatabaseUrl;
use shared::queue::Queue;
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::gate::Gate;
use shared::store::{Connections, Control};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::handlers::Handlers;

/// The kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Producer,
    Consumer,
}

/// The slots of each consumer.
pub(crate) const SLOTS: usize = 3;
/// The lease, in seconds.
pub(crate) const LEASE: i64 = 20;

/// What every process is started with.
pub(crate) struct Start<'a> {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) clock: Clock,
    pub(crate) control: &'a DatabaseUrl,
    pub(crate) queue: Queue,
    pub(crate) random: Random,
    pub(crate) handlers: Handlers,
}

/// A live process.
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) gate: Gate,
    /// Whether it is paused, as by SIGSTOP.
    pub(crate) paused: bool,
    pub(crate) shutdown: Shutdown,
    main: JoinHandle<()>,
    idle: Arc<Notify>,
    runtime: Runtime,
}

impl Process {
    pub(crate) fn start(start: Start<'_>) -> Process {
        let Start { kind, label, clock, control, queue, random, handlers } = start;
        let (gate, idle, shutdown) =
            (Gate::default(), Arc::new(Notify::new()), Shutdown::default());
        let (parked, at_gate) = (idle.clone(), gate.clone());
        let runtime = Builder::new_current_thread()
            .enable_time()
            .on_thread_park(move || {
                // While a statement runs, the process waits for its answer, and is not idle.
                if at_gate.under_way() == 0 {
                    parked.notify_one();
                }
            })
            .build()
            .unwrap();
        let telemetry = Telemetry::new(clock.clone());
        let connections = Connections::new(clock, 50).behind(gate.clone());
        let control = Arc::new(Control::new(control, &connections).unwrap());
        let tenants = Tenants::new(control, connections).with_random(random.clone());
        let (tenants, config, stop) = (Arc::new(tenants), config(), shutdown.clone());
        let main = match kind {
            Kind::Producer => {
                let producer = Producer {
                    tenants,
                    queue,
                    config,
                    peers: Peers::Registered,
                    random,
                    telemetry,
                };
                runtime.spawn(producer.run(stop))
            }
            Kind::Consumer => {
                let registry = handlers.registry();
                let consumer = Consumer { tenants, queue, registry, config, random, telemetry };
                runtime.spawn(async move {
                    // Without handler processes, nothing prevents the start.
                    let _ = consumer.run_on(Handle::current(), stop).await;
                })
            }
        };
        Process { kind, label, gate, paused: false, shutdown, main, idle, runtime }
    }

    /// Runs it until it can do nothing more without waiting.
    pub(crate) fn run(&self) {
        if !self.paused {
            self.runtime.block_on(self.idle.notified());
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.main.is_finished()
    }
}

/// The settings: shorter times than the defaults, so that more happens.
pub(crate) fn config() -> Config {
    let settings = [
        ("POLYCHRON_PREFETCH", SLOTS.to_string()),
        ("POLYCHRON_JOB_TIMEOUT", "60s".into()),
        ("POLYCHRON_POLL_INTERVAL", "5s".into()),
        ("POLYCHRON_LEASE", format!("{LEASE}s")),
    ];
    let environment: BTreeMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Config::read(&Sources { environment, ..Sources::default() }, &[]).unwrap()
}
