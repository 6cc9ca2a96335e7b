//! `polychron serve`, and dashboard and API beside an engine in the same process.

use cli::output::say;
use embedded::{DataFolder, Engine};
use operations::context::{Context, Nudge};
use operations::failure::Failure;
use shared::config::Config;
use shared::queue::Queue;
use shared::shutdown::Shutdown;
use shared::store::Control;
use web::Server;

/// Serves until asked to stop.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    let queue = config.amqp_url.clone().map(Queue::Rabbit);
    let mut context = Context::open(config).await?;
    if let Some(queue) = queue {
        let (publisher, driver) = queue.publisher("polychron serve", &[]);
        tokio::spawn(driver);
        context = context.with_publisher(publisher);
    }
    let server = Server::bind(context).await?;
    let shutdown = Shutdown::on_signals()
        .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    say(&format!("Dashboard and API at {}", server.url()));
    server.run(&shutdown).await;
    Ok(())
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
        let nudge = Nudge::Standing(publisher);
        let control = control.map_err(Failure::control)?;
        Server::bind(Context::new(config, connections, control, nudge)).await
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
