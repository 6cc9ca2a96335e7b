//! Producer and consumer in one process, with SQLite files in one folder and a queue in memory. Used
//! by `demo`, by `up`, by programs that embed Polychron, and by tests of whole jobs ([`testing`]).
//!
//! ```no_run
//! use std::path::Path;
//!
//! use consumer::{Context, HandlerError, Registry};
//! use polychron_embedded::{DataFolder, Engine};
//! use shared::config;
//! use shared::shutdown::Shutdown;
//!
//! async fn send_invoice(number: u32, _: Context) -> Result<String, HandlerError> {
//!     Ok(format!("sent invoice {number}"))
//! }
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//!     let config = config::read("shop", "Sends invoices on a schedule.", &[]);
//!     let folder = DataFolder::open(Path::new("shop-data"))?;
//!     let engine = Engine::new(&folder, config).await?;
//!     engine.add_tenant(&folder, "acme", "Acme Corporation").await?;
//!     let mut handlers = Registry::default();
//!     handlers.insert("send_invoice", send_invoice);
//!     engine.run(handlers, Shutdown::on_signals()?).await?;
//!     Ok(())
//! }
//! ```

mod folder;
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
pub use consumer::Stopped;
use consumer::{Consumer, Registry};
use producer::{Peers, Producer};
use shared::clock::Clock;
use shared::config::Config;
use shared::id::TenantId;
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Planning, Schema, Store, migrate};
use shared::telemetry::Telemetry;
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::Tenants;

pub use folder::DataFolder;

/// How long a change by another process may go unnoticed.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A producer and a consumer over one [`DataFolder`], not yet running.
pub struct Engine {
    /// The tenants of the folder's control database.
    pub tenants: Arc<Tenants>,
    /// The queue in memory.
    pub queue: Queue,
    config: Config,
}

impl Engine {
    /// Migrates the control database and prepares to run.
    ///
    /// # Errors
    /// If the control database cannot be used.
    pub async fn new(folder: &DataFolder, mut config: Config) -> Result<Engine> {
        // Changes by other processes come without a wake, and polling a file costs next to nothing.
        config.poll_interval = config.poll_interval.min(POLL_INTERVAL);
        let url = folder.control_url();
        migrate(&url, Schema::Control).await.context("the control database cannot be migrated")?;
        let connections = Connections::within(Clock::System, config.connections);
        let connections = connections.planned(Planning::ByKeys);
        let control = Arc::new(Control::new(&url, &connections)?);
        let tenants = Arc::new(Tenants::new(control, connections));
        Ok(Engine { tenants, queue: Queue::Memory(MemoryBroker::new()), config })
    }

    /// Adds a tenant with a database of its own in the folder.
    ///
    /// # Errors
    /// If its database cannot be created or belongs to another tenant, or the slug is taken or malformed.
    pub async fn add_tenant(
        &self,
        folder: &DataFolder,
        slug: &str,
        name: &str,
    ) -> Result<Arc<Store>> {
        let url = folder.tenant_url(slug);
        let now = self.tenants.clock().wall_time();
        let id = TenantId::new(now, &Random::system());
        folder.mark(id, slug)?;
        migrate(&url, Schema::Tenant).await?;
        let store = Arc::new(Store::new(id, &url, self.tenants.connections())?);
        let owned = store.set_owner().await?;
        ensure!(owned.is_applied(), "the database {url} belongs to another tenant");
        let tenant = Tenant {
            id,
            slug: slug.to_owned(),
            name: name.to_owned(),
            status: TenantStatus::Active,
            database_url: url,
            schema: None,
            max_running: None,
            created_at: now,
            updated_at: now,
        };
        self.tenants.control().insert_tenant(&tenant).await?;
        Ok(store)
    }

    /// Dispatches and executes jobs until asked to stop, with these handlers and the built-in ones.
    ///
    /// # Errors
    /// If the consumer cannot start.
    pub async fn run(&self, handlers: Registry, shutdown: Shutdown) -> Result<Stopped> {
        let Engine { tenants, queue, config } = self;
        let mut registry = consumer::known_types(config, tenants.clock());
        registry.extend(handlers);
        let (random, telemetry) = (Random::system(), Telemetry::new(Clock::System));
        let producer = Producer {
            tenants: tenants.clone(),
            queue: queue.clone(),
            config: config.clone(),
            // The folder is locked, and no other process receives messages of this queue.
            peers: Peers::None,
            random: random.clone(),
            telemetry: telemetry.clone(),
        };
        let consumer = Consumer {
            tenants: tenants.clone(),
            queue: queue.clone(),
            registry,
            config: config.clone(),
            random,
            telemetry,
        };
        let ((), stopped) = tokio::join!(producer.run(shutdown.clone()), consumer.run(shutdown));
        stopped
    }
}
