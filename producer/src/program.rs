//! The producer as a process: what `polychron-producer` and `polychron producer` run.

use std::sync::Arc;

use anyhow::Context as _;
use shared::clock::Clock;
use shared::config::Config;
use shared::http;
use shared::logging;
use shared::queue::Queue;
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Planning};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use shared::trace::Tracer;

use crate::{Peers, Producer};

/// What the program is, for its help.
pub const ABOUT: &str =
    "Finds the due jobs of all tenants and dispatches them. Any number may run at once.";

/// The settings without which it cannot start.
pub const REQUIRED_SETTINGS: &[&str] = &["DATABASE_URL", "AMQP_URL"];

/// Runs a producer until SIGTERM or SIGINT. An address for health and metrics that cannot be bound
/// ends the process with status 2.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config) -> anyhow::Result<()> {
    let listener = http::bind_or_exit("polychron-producer", config.http);
    logging::start(&config.log, config.log_format, true);
    // The producer waits for I/O nearly all the time. A second thread would cost more wake-ups than it
    // would save.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut telemetry = Telemetry::new(Clock::System);
        telemetry.tracer =
            Tracer::start(config.collector.as_ref(), "polychron-producer", Clock::System);
        if let Some(listener) = listener {
            tokio::spawn(http::serve(listener, http::health_routes(telemetry.clone())));
        }
        let connections = Connections::within(Clock::System, config.connections);
        let connections = connections.planned(Planning::ByKeys);
        let database_url = config.database_url.as_ref().context("DATABASE_URL is not set")?;
        let queue = Queue::Rabbit(config.amqp_url.clone().context("AMQP_URL is not set")?);
        let control = Arc::new(Control::new(database_url, &connections)?);
        let tenants = Arc::new(Tenants::new(control, connections));
        let producer = Producer {
            tenants,
            queue,
            config,
            peers: Peers::Registered,
            random: Random::system(),
            telemetry,
        };
        producer.run(Shutdown::on_signals()?).await;
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(())
}
