//! Tests whole jobs, from the schedule to the row, with an engine of the test's own.
//!
//! ```
//! use polychron_embedded::testing::TestEngine;
//! # use consumer::{Context, HandlerError, Registry};
//! # use serde_json::json;
//! # async fn greet(name: String, _: Context) -> Result<String, HandlerError> {
//! #     Ok(format!("Hello, {name}"))
//! # }
//! # #[tokio::main]
//! # async fn main() -> anyhow::Result<()> {
//! let mut handlers = Registry::default();
//! handlers.insert("greet", greet);
//! let engine = TestEngine::start(handlers).await?;
//! let acme = engine.add_tenant("acme").await?;
//! let execution = acme.run("greet", json!("Ann")).await?;
//! assert_eq!(execution.result, Some(json!("Hello, Ann")));
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use consumer::Registry;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Sources};
use shared::execution::Execution;
use shared::id::TenantId;
use shared::queue::Publisher;
use shared::shutdown::Shutdown;
use shared::store::{ExecutionFilter, NewJob, Store};
use tempfile::TempDir;

use crate::{DataFolder, Engine};

/// How often a row is read while a test waits for it.
const READ_EVERY: Duration = Duration::from_millis(20);
/// How long a test waits for a job to end.
const END_LIMIT: Duration = Duration::from_secs(60);

/// An engine that runs until it is dropped, which also deletes its files.
///
/// ```
/// use consumer::{Context, HandlerError, Registry};
/// use polychron_embedded::testing::TestEngine;
/// use serde_json::json;
///
/// async fn add(numbers: Vec<i64>, _: Context) -> Result<i64, HandlerError> {
///     Ok(numbers.iter().sum())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let mut handlers = Registry::default();
/// handlers.insert("add", add);
/// let engine = TestEngine::start(handlers).await?;
/// let acme = engine.add_tenant("acme").await?;
/// assert_eq!(acme.run("add", json!([1, 2])).await?.result, Some(json!(3)));
/// # Ok(())
/// # }
/// ```
pub struct TestEngine {
    engine: Arc<Engine>,
    folder: DataFolder,
    publisher: Publisher,
    shutdown: Shutdown,
    _files: TempDir,
}

/// A tenant of a [`TestEngine`].
pub struct TestTenant {
    /// Its id.
    pub id: TenantId,
    /// Its database.
    pub store: Arc<Store>,
    publisher: Publisher,
}

impl TestEngine {
    /// Starts an engine with these handlers and default settings.
    ///
    /// # Errors
    /// If its files cannot be created.
    pub async fn start(handlers: Registry) -> Result<TestEngine> {
        TestEngine::start_with(handlers, Config::read(&Sources::default(), &[])?).await
    }

    /// Starts an engine with these handlers and settings.
    ///
    /// # Errors
    /// If its files cannot be created.
    pub async fn start_with(handlers: Registry, config: Config) -> Result<TestEngine> {
        let files = TempDir::with_prefix("polychron-embedded-")?;
        let folder = DataFolder::open(files.path())?;
        let engine = Arc::new(Engine::new(&folder, config).await?);
        let shutdown = Shutdown::default();
        let (publisher, _) = engine.queue.publisher("test", &[]);
        let (running, until) = (engine.clone(), shutdown.clone());
        // If it fails to start, the test fails when it waits for a job.
        tokio::spawn(async move { Box::pin(running.run(handlers, until)).await });
        Ok(TestEngine { engine, folder, publisher, shutdown, _files: files })
    }

    /// Adds a tenant with an SQLite database of its own.
    ///
    /// # Errors
    /// If it cannot be added.
    pub async fn add_tenant(&self, slug: &str) -> Result<TestTenant> {
        let store = self.engine.add_tenant(&self.folder, slug, slug).await?;
        self.engine.tenants.refresh().await?;
        let id = store.owner().await?.context("no tenant owns the database")?;
        self.publisher.wake(id).await;
        Ok(TestTenant { id, store, publisher: self.publisher.clone() })
    }
}

impl TestEngine {
    /// Stops the engine: what still runs is given back.
    pub fn stop(&self) {
        self.shutdown.drain.cancel();
        self.shutdown.release.cancel();
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestTenant {
    /// Runs a job of this type once, with a job's default settings. Waits for its retries, too, and
    /// returns the last attempt.
    ///
    /// # Errors
    /// If it does not end within a minute.
    pub async fn run(&self, job_type: &str, payload: Value) -> Result<Execution> {
        let name = format!("{job_type} {}", Clock::System.boot_time().since_boot().as_nanos());
        let schedule = json!({"at": Clock::System.wall_time()});
        self.run_job(&NewJob { payload, ..NewJob::new(&name, job_type, schedule) }).await
    }

    /// Adds a job, waits until its first occurrence has ended, and returns the last attempt.
    ///
    /// # Errors
    /// If it does not end within a minute.
    pub async fn run_job(&self, job: &NewJob) -> Result<Execution> {
        self.store.insert_job(job).await?;
        self.publisher.wake(self.id).await;
        let ended = tokio::time::timeout(END_LIMIT, self.last_attempt(&job.name)).await;
        match ended {
            Ok(execution) => execution,
            Err(_) => bail!("job {} did not end within {} s", job.name, END_LIMIT.as_secs()),
        }
    }

    /// Makes the engine poll for due jobs now, after a change by plain SQL.
    pub async fn wake(&self) {
        self.publisher.wake(self.id).await;
    }

    /// A job's executions, newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn executions(&self, job: &str) -> Result<Vec<Execution>> {
        let filter = ExecutionFilter { job: Some(job.to_owned()), ..ExecutionFilter::default() };
        Ok(self.store.list_executions(&filter, 1000).await?)
    }

    async fn last_attempt(&self, job: &str) -> Result<Execution> {
        loop {
            if let Some(first) = self.executions(job).await?.pop() {
                let last = self.store.find_last_attempt(first.id).await?;
                let last = last.context("the execution has vanished")?;
                if last.status.is_final() {
                    return Ok(last);
                }
            }
            Clock::System.sleep(READ_EVERY).await;
        }
    }
}
