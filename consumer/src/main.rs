//! The consumer daemon: executes jobs of the built-in types.

use std::sync::Arc;

use anyhow::Context as _;
use consumer::{Consumer, Registry, diagnostic};
use polychron_consumer as consumer;
use shared::clock::Clock;
use shared::config;
use shared::http;
use shared::queue::Queue;
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control};
use shared::telemetry;
use shared::tenants::Tenants;
use shared::vitals::Vitals;

const ABOUT: &str =
    "Executes Polychron's jobs. Start it as often as you like: processes share the work.";

fn main() -> anyhow::Result<()> {
    let config = config::read("polychron-consumer", ABOUT, &["DATABASE_URL", "AMQP_URL"]);
    let listener = http::bind_or_exit("polychron-consumer", config.http);
    telemetry::start(&config.log, config.log_format, true);
    // Ours is small: handlers have a runtime of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let clean = runtime.block_on(async {
        let vitals = Vitals::new(Clock::System);
        if let Some(listener) = listener {
            tokio::spawn(http::serve(listener, http::vitals_routes(vitals.clone())));
        }
        let connections = Connections::new(Clock::System, config.connections);
        let database_url = config.database_url.as_ref().context("DATABASE_URL is not set")?;
        let amqp_url = config.amqp_url.clone().context("AMQP_URL is not set")?;
        let control = Arc::new(Control::new(database_url, &connections)?);
        let mut registry = Registry::default();
        if config.diagnostics {
            diagnostic::register(&mut registry, &Clock::System);
        }
        let consumer = Consumer {
            tenants: Arc::new(Tenants::new(control, connections)),
            queue: Queue::Rabbit(amqp_url),
            registry,
            config,
            random: Random::system(),
            vitals,
        };
        consumer.run(Shutdown::on_signals()?).await
    })?;
    // What still blocks its thread must not hold the process up: its row was given back.
    runtime.shutdown_background();
    std::process::exit(if clean { 0 } else { 1 })
}
