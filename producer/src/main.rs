//! The producer: finds due jobs in the tenants' databases and dispatches them.

use std::sync::Arc;

use anyhow::Context as _;
use polychron_producer::{Peers, Producer};
use shared::clock::Clock;
use shared::config;
use shared::http;
use shared::logging;
use shared::queue::Queue;
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Planning};
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use shared::trace::Tracer;

const ABOUT: &str =
    "Finds the due jobs of all tenants and dispatches them. Any number may run at once.";

fn main() -> anyhow::Result<()> {
    launcher::make_unreadable();
    let config = config::read("polychron-producer", ABOUT, &["DATABASE_URL", "AMQP_URL"]);
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
        let connections = Connections::new(Clock::System, config.connections);
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
