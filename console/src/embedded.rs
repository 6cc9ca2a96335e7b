//! The embedded engine: the same producer and consumer, over SQLite files in one folder and a queue
//! in the process. For `demo`, for `up`, and for whoever wants to try things.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use consumer::{Consumer, Registry};
use producer::Producer;
use shared::clock::Clock;
use shared::config::Config;
use shared::database_url::DatabaseUrl;
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, Schema, migrate};
use shared::tenants::Tenants;

use crate::exit::Failure;
use crate::operator::{Nudge, Operator};
use crate::output::say;
use crate::serve::Served;

/// The longest that another process's change may go unseen.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A folder that holds a control database, and tenants' databases beside it. Two engines on one
/// folder would each have a queue of their own, so it is locked as long as this lives.
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Opens a folder, or makes it, for this user's eyes only.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub(crate) fn open(path: &Path) -> Result<DataFolder> {
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
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The control database in it.
    pub(crate) fn control_url(&self) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.path.join("control.db"))
    }

    /// A database in it for a tenant.
    pub(crate) fn tenant_url(&self, slug: &str) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.path.join("tenants").join(format!("{slug}.db")))
    }

    /// Removes every database in it.
    pub(crate) fn clear(&self) -> Result<()> {
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
pub(crate) struct Engine {
    /// The tenants of the folder's control database.
    pub(crate) tenants: Arc<Tenants>,
    /// What carries the messages.
    pub(crate) queue: Queue,
    config: Config,
    control_url: DatabaseUrl,
}

impl Engine {
    /// Brings the control database up to date, and prepares to run.
    ///
    /// # Errors
    /// When the control database cannot be used.
    pub(crate) async fn new(folder: &DataFolder, mut config: Config) -> Result<Engine> {
        // Other processes' changes come without a wake; to look at a file costs next to nothing.
        config.poll_interval = config.poll_interval.min(POLL_INTERVAL);
        let url = folder.control_url();
        migrate(&url, Schema::Control).await.context("the control database cannot be migrated")?;
        let connections = Connections::new(Clock::System, config.connections);
        let control = Arc::new(Control::new(&url, &connections)?);
        let tenants = Arc::new(Tenants::new(control, connections));
        let queue = Queue::Memory(MemoryBroker::new());
        Ok(Engine { tenants, queue, config, control_url: url })
    }

    /// Prepares dashboard and API. If that cannot be, it is said, and the engine does without.
    pub(crate) async fn dashboard(&self) -> Option<Served> {
        let served = async {
            let connections = self.tenants.connections().clone();
            let control =
                Control::new(&self.control_url, &connections).map_err(Failure::control)?;
            let (publisher, driver) = self.queue.publisher("polychron dashboard", &[]);
            tokio::spawn(driver);
            let nudge = Nudge::Standing(publisher);
            Served::new(Operator::new(self.config.clone(), connections, control, nudge)).await
        };
        match served.await {
            Ok(served) => {
                say(&format!("Dashboard and API at {}", served.url()));
                Some(served)
            }
            Err(failure) => {
                say(&format!("There is no dashboard: {failure}"));
                None
            }
        }
    }

    /// Dispatches, executes and serves the dashboard until asked to stop. True: nothing is left running.
    ///
    /// # Errors
    /// When the consumer cannot start.
    pub(crate) async fn run(
        &self,
        registry: Registry,
        dashboard: Option<Served>,
        shutdown: Shutdown,
    ) -> Result<bool> {
        let Engine { tenants, queue, config, .. } = self;
        let random = Random::system();
        let producer = Producer {
            tenants: tenants.clone(),
            queue: queue.clone(),
            config: config.clone(),
            random: random.clone(),
        };
        let consumer = Consumer {
            tenants: tenants.clone(),
            queue: queue.clone(),
            registry,
            config: config.clone(),
            random,
        };
        let serving = async {
            if let Some(dashboard) = dashboard {
                dashboard.run(&shutdown).await;
            }
        };
        let (producing, consuming) =
            (producer.run(shutdown.clone()), consumer.run(shutdown.clone()));
        let ((), clean, ()) = tokio::join!(producing, consuming, serving);
        clean
    }
}
