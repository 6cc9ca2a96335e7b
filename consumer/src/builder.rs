//! From a list of handlers to a running process: what a program of a user's own needs, and what the
//! daemon is.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::clock::Clock;
use shared::config::{self, Config};
use shared::http;
use shared::logging;
use shared::queue::Queue;
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Planning};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use shared::trace::Tracer;
use tracing::error;

use crate::{Consumer, Context, Handler, HandlerError, Registry, known_types};

/// A consumer in the making.
#[derive(Default)]
pub struct Builder {
    about: Option<&'static str>,
    registry: Registry,
}

impl Builder {
    /// Adds a handler for a job type. One for a built-in type takes that one's place.
    pub fn handler<P>(mut self, job_type: &str, handler: impl Handler<P>) -> Builder
    where
        P: DeserializeOwned + Send + 'static,
    {
        self.registry.insert(job_type, handler);
        self
    }

    /// Adds a handler that blocks its thread; see [`Registry::insert_blocking`].
    pub fn blocking_handler<P, R, F>(mut self, job_type: &str, handler: F) -> Builder
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(P, Context) -> Result<R, HandlerError> + Send + Sync + 'static,
    {
        self.registry.insert_blocking(job_type, handler);
        self
    }

    /// Adds all of a registry's handlers, which tests may use as well.
    pub fn handlers(mut self, registry: Registry) -> Builder {
        self.registry.extend(registry);
        self
    }

    /// Says in a sentence what the program is, for its `--help`.
    pub fn about(mut self, about: &'static str) -> Builder {
        self.about = Some(about);
        self
    }

    /// Reads the settings (flags, environment, file: `--help` lists them), executes jobs until
    /// SIGTERM or SIGINT, and says how that went: 0 if nothing was left running, 1 otherwise.
    /// Settings that are wrong end the process with 2.
    pub fn run(self) -> ExitCode {
        let about = self.about.unwrap_or("Executes Polychron's jobs with handlers of its own.");
        let config = config::read("polychron-consumer", about, &["DATABASE_URL", "AMQP_URL"]);
        let listener = http::bind_or_exit("polychron-consumer", config.http);
        logging::start(&config.log, config.log_format, true);
        match execute(self.registry, config, listener) {
            Ok(true) => ExitCode::SUCCESS,
            // What was left running has been logged.
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                error!("{error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

fn execute(
    registry: Registry,
    config: Config,
    listener: Option<TcpListener>,
) -> anyhow::Result<bool> {
    // One thread is enough for what is ours: handlers have a runtime of their own, and a second
    // thread would mostly cost the time to wake it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let clean = runtime.block_on(async {
        let mut telemetry = Telemetry::new(Clock::System);
        telemetry.tracer =
            Tracer::start(config.collector.as_ref(), "polychron-consumer", Clock::System);
        if let Some(listener) = listener {
            tokio::spawn(http::serve(listener, http::health_routes(telemetry.clone())));
        }
        let connections = Connections::new(Clock::System, config.connections);
        let connections = connections.planned(Planning::ByKeysOnce);
        let database_url = config.database_url.as_ref().context("DATABASE_URL is not set")?;
        let amqp_url = config.amqp_url.clone().context("AMQP_URL is not set")?;
        let control = Arc::new(Control::new(database_url, &connections)?);
        let mut known = known_types(&config, &Clock::System);
        known.extend(registry);
        let consumer = Consumer {
            tenants: Arc::new(Tenants::new(control, connections)),
            queue: Queue::Rabbit(amqp_url),
            registry: known,
            config,
            random: Random::system(),
            telemetry,
        };
        consumer.run(Shutdown::on_signals()?).await
    });
    // What still blocks its thread must not hold the process up: its row was given back.
    runtime.shutdown_background();
    clean
}
