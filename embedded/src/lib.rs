//! The embedded engine: the same producer and consumer, over SQLite files in one folder and a queue
//! in the process. For `demo`, for `up`, for programs that want a small Polychron inside, and for
//! tests of whole jobs ([`testing`]).

pub mod testing;

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use consumer::{Consumer, Registry};
use producer::{Peers, Producer};
use shared::clock::Clock;
use shared::config::Config;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Planning, Schema, Store, migrate};
use shared::telemetry::Telemetry;
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::Tenants;

/// The longest that another process's change may go unseen.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A folder that holds a control database, and tenants' databases beside it. Two engines on one
/// folder would each have a queue of their own, so it is locked as long as this lives.
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Opens a folder, or makes it, for this user's eyes only.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub fn open(path: &Path) -> Result<DataFolder> {
        let tenants = path.join("tenants");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&tenants);
        made.with_context(|| format!("the data folder {} cannot be made", path.display()))?;
        let path = path.canonicalize()?;
        let lock =
            File::create(path.join("lock")).context("the data folder cannot be written to")?;
        match lock.try_lock() {
            Ok(()) => Ok(DataFolder { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another process uses the data folder {}: stop it, or choose another folder with --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).context("the data folder cannot be locked")
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control database in it.
    pub fn control_url(&self) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.path.join("control.db"))
    }

    /// A database in it for a tenant.
    pub fn tenant_url(&self, slug: &str) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.path.join("tenants").join(format!("{slug}.db")))
    }

    /// Removes every database in it.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn clear(&self) -> Result<()> {
        for folder in [self.path.clone(), self.path.join("tenants")] {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if [".db", ".db-wal", ".db-shm"].iter().any(|ending| name.ends_with(ending)) {
                    std::fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// The engine before it runs.
pub struct Engine {
    /// The tenants of the folder's control database.
    pub tenants: Arc<Tenants>,
    /// What carries the messages.
    pub queue: Queue,
    config: Config,
}

impl Engine {
    /// Brings the control database up to date, and prepares to run.
    ///
    /// # Errors
    /// When the control database cannot be used.
    pub async fn new(folder: &DataFolder, mut config: Config) -> Result<Engine> {
        // Other processes' changes come without a wake; to look at a file costs next to nothing.
        config.poll_interval = config.poll_interval.min(POLL_INTERVAL);
        let url = folder.control_url();
        migrate(&url, Schema::Control).await.context("the control database cannot be migrated")?;
        let connections = Connections::new(Clock::System, config.connections);
        let connections = connections.planned(Planning::ByKeys);
        let control = Arc::new(Control::new(&url, &connections)?);
        let tenants = Arc::new(Tenants::new(control, connections));
        Ok(Engine { tenants, queue: Queue::Memory(MemoryBroker::new()), config })
    }

    /// Adds a tenant, with a database of its own in the folder.
    ///
    /// # Errors
    /// When its database cannot be made, or the slug is taken or malformed.
    pub async fn add_tenant(
        &self,
        folder: &DataFolder,
        slug: &str,
        name: &str,
    ) -> Result<Arc<Store>> {
        let url = folder.tenant_url(slug);
        migrate(&url, Schema::Tenant).await?;
        let now = self.tenants.clock().wall_time();
        let id = TenantId::new(now, &Random::system());
        let store = Arc::new(Store::new(id, &url, self.tenants.connections())?);
        store.claim_database(false).await?;
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

    /// Dispatches and executes until asked to stop, with these handlers beside those that the
    /// settings bring. True: nothing is left running.
    ///
    /// # Errors
    /// When the consumer cannot start.
    pub async fn run(&self, handlers: Registry, shutdown: Shutdown) -> Result<bool> {
        let Engine { tenants, queue, config } = self;
        let mut registry = consumer::known_types(config, tenants.clock());
        registry.extend(handlers);
        let (random, telemetry) = (Random::system(), Telemetry::new(Clock::System));
        let producer = Producer {
            tenants: tenants.clone(),
            queue: queue.clone(),
            config: config.clone(),
            // The folder is locked, and nobody else could hear of its messages.
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
        let ((), clean) = tokio::join!(producer.run(shutdown.clone()), consumer.run(shutdown));
        clean
    }
}
