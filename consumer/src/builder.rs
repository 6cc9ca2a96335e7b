//! Turns a list of handlers into a running process: the daemon's, or a program's with handlers of its
//! own.

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

use crate::builtin::answer;
use crate::consumer::{Consumer, Stopped, known_types};
use crate::context::Context;
use crate::error::HandlerError;
use crate::handler::{Handler, Registry};

/// The settings without which a consumer cannot start.
pub const REQUIRED_SETTINGS: &[&str] = &["DATABASE_URL", "AMQP_URL"];

impl Consumer {
    /// Builds a consumer with handlers of your own. Call it first in `main`: it calls
    /// [`answer`].
    ///
    /// ```no_run
    /// use polychron_consumer::{Consumer, Context, HandlerError};
    ///
    /// async fn send_invoice(number: u32, _: Context) -> Result<String, HandlerError> {
    ///     Ok(format!("sent invoice {number}"))
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Consumer::builder().handler("send_invoice", send_invoice).run()
    /// }
    /// ```
    pub fn builder() -> Builder {
        answer();
        Builder::default()
    }
}

/// Builds a consumer process; made by [`Consumer::builder`].
#[derive(Default)]
pub struct Builder {
    about: Option<&'static str>,
    registry: Registry,
}

impl Builder {
    /// Adds a handler for a job type. It replaces a built-in one for the same type.
    ///
    /// ```
    /// # use polychron_consumer::{Consumer, Context, HandlerError};
    /// async fn add(numbers: (i32, i32), _: Context) -> Result<i32, HandlerError> {
    ///     Ok(numbers.0 + numbers.1)
    /// }
    ///
    /// let consumer = Consumer::builder().handler("add", add);
    /// ```
    pub fn handler<P>(mut self, job_type: &str, handler: impl Handler<P>) -> Builder
    where
        P: DeserializeOwned + Send + 'static,
    {
        self.registry.insert(job_type, handler);
        self
    }

    /// Adds a handler that blocks; see [`Registry::insert_blocking`].
    ///
    /// ```
    /// # use polychron_consumer::{Consumer, Context, HandlerError};
    /// fn copy((from, to): (String, String), _: Context) -> Result<u64, HandlerError> {
    ///     Ok(std::fs::copy(from, to)?)
    /// }
    ///
    /// let consumer = Consumer::builder().blocking_handler("copy", copy);
    /// ```
    pub fn blocking_handler<P, R, F>(mut self, job_type: &str, handler: F) -> Builder
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(P, Context) -> Result<R, HandlerError> + Send + Sync + 'static,
    {
        self.registry.insert_blocking(job_type, handler);
        self
    }

    /// Adds all handlers of a registry, which a program can share with its tests.
    ///
    /// ```
    /// # use polychron_consumer::{Consumer, Context, HandlerError, Registry};
    /// # async fn noop(_: (), _: Context) -> Result<(), HandlerError> { Ok(()) }
    /// let mut registry = Registry::default();
    /// registry.insert("send_invoice", noop);
    /// let consumer = Consumer::builder().handlers(registry);
    /// ```
    pub fn handlers(mut self, registry: Registry) -> Builder {
        self.registry.extend(registry);
        self
    }

    /// Sets the sentence that describes the program in its `--help`.
    ///
    /// ```
    /// # use polychron_consumer::Consumer;
    /// let consumer = Consumer::builder().about("Sends the shop's invoices.");
    /// ```
    pub fn about(mut self, about: &'static str) -> Builder {
        self.about = Some(about);
        self
    }

    /// Reads the settings (flags, environment, file; `--help` lists them) and executes jobs until
    /// SIGTERM or SIGINT. The exit code is 0 if every result was written, 1 if not or if it could not
    /// start. Invalid settings end the process with 2.
    ///
    /// ```no_run
    /// fn main() -> std::process::ExitCode {
    ///     polychron_consumer::Consumer::builder().run()
    /// }
    /// ```
    pub fn run(self) -> ExitCode {
        answer();
        let about = self.about.unwrap_or("Executes Polychron's jobs with handlers of its own.");
        self.run_with(config::read("polychron-consumer", about, REQUIRED_SETTINGS))
    }

    /// The same as [`run`](Builder::run), with settings that were read already.
    pub fn run_with(self, config: Config) -> ExitCode {
        let listener = http::bind_or_exit("polychron-consumer", config.http);
        logging::start(&config.log, config.log_format, true);
        match execute(self.registry, config, listener) {
            Ok(Stopped::AllWritten) => ExitCode::SUCCESS,
            // The executions that were left running are in the log.
            Ok(Stopped::ResultsMissing) => ExitCode::FAILURE,
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
) -> anyhow::Result<Stopped> {
    // One thread is enough, since handlers have a runtime of their own. Waking a second one would
    // cost more than it gains.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let stopped = runtime.block_on(async {
        let mut telemetry = Telemetry::new(Clock::System);
        telemetry.tracer =
            Tracer::start(config.collector.as_ref(), "polychron-consumer", Clock::System);
        if let Some(listener) = listener {
            tokio::spawn(http::serve(listener, http::health_routes(telemetry.clone())));
        }
        let connections = Connections::within(Clock::System, config.connections);
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
    // Threads that are still blocked must not delay the exit: their rows were given back.
    runtime.shutdown_background();
    stopped
}
