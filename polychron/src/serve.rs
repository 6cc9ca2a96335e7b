//! `polychron serve`, and dashboard and API beside an engine in the same process.

use std::sync::Arc;

use cli::output::say;
use embedded::{DataFolder, Engine};
use operations::context::{Context, WakeBy};
use operations::failure::Failure;
use shared::config::Config;
use shared::http;
use shared::metrics::Metrics;
use shared::queue::{Publisher, Queue};
use shared::readiness::Probes;
use shared::shutdown::Shutdown;
use shared::store::Control;
use shared::telemetry::Telemetry;
use shared::tenants::Tenants;
use web::Server;

/// Serves until asked to stop.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    let health = http::bind_or_exit("polychron serve", config.http);
    let queue = config.amqp_url.clone().map(Queue::Rabbit);
    let mut context = Context::open(config).await?;
    let shutdown = Shutdown::on_signals()
        .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    let telemetry = Telemetry::new(context.connections.clock().clone());
    let mut routes = http::liveness_routes(telemetry.clone());
    if let Some(queue) = queue {
        let (publisher, driver) = queue.publisher("polychron serve", &[]);
        tokio::spawn(driver);
        let probes = probes(&context, publisher.clone(), &shutdown)?;
        tokio::spawn(telemetry.clone().probe(probes));
        routes = http::health_routes(telemetry.clone());
        context = context.with_publisher(publisher);
    }
    let server = Server::bind(context, telemetry.metrics).await?;
    if let Some(listener) = health {
        tokio::spawn(http::serve(listener, routes));
    }
    say(&format!("Dashboard and API at {}", server.url()));
    server.run(&shutdown).await;
    Ok(())
}

/// What tells whether the server is ready: the control database and the broker.
fn probes(context: &Context, publisher: Publisher, shutdown: &Shutdown) -> Result<Probes, Failure> {
    let control = operations::context::control(&context.config, &context.connections)?;
    // It watches no tenants.
    let tenants = Arc::new(Tenants::new(Arc::new(control), context.connections.clone()));
    let (queues, drain) = (context.config.queues.clone(), shutdown.drain.clone());
    Ok(Probes { tenants, publisher, receiving: None, queues, drain })
}

/// Dashboard and API of an engine in this process. If they cannot be served, says why, and the
/// engine does without.
pub(crate) async fn of_engine(
    engine: &Engine,
    folder: &DataFolder,
    config: Config,
) -> Option<Server> {
    let server = async {
        let connections = engine.tenants.connections().clone();
        let control = Control::new(&folder.control_url(), &connections);
        let (publisher, driver) = engine.queue.publisher("polychron dashboard", &[]);
        tokio::spawn(driver);
        let wake_by = WakeBy::Publisher(publisher);
        let control = control.map_err(Failure::control)?;
        let metrics = Metrics::new(connections.clock().clone());
        Server::bind(Context::new(config, connections, control, wake_by), metrics).await
    };
    match server.await {
        Ok(server) => {
            say(&format!("Dashboard and API at {}", server.url()));
            Some(server)
        }
        Err(failure) => {
            say(&format!("There is no dashboard: {failure}"));
            None
        }
    }
}

/// Serves, if there is a server, until asked to stop.
pub(crate) async fn beside(server: Option<Server>, shutdown: &Shutdown) {
    if let Some(server) = server {
        server.run(shutdown).await;
    }
}
