//! Handler processes: real Python processes under a whole engine.

mod bad_manners;
mod commands;
mod crashes;
mod executions;
mod recycling;
mod sharing;
mod stops;

use std::path::PathBuf;
use std::sync::Arc;

use embedded::testing::{TestEngine, TestTenant};
use polychron_consumer::Registry;
use polychron_consumer::testing::use_launcher;
use serde_json::{Value, json};
use shared::config::{Config, Sources};
use shared::execution::Execution;
use shared::id::ExecutionId;
use shared::store::{NewJob, Store};
use testkit::{Folder, eventually, write_private};

/// An engine whose handlers are processes of `testkit/fixtures/handler.py`.
struct Fixture {
    engine: TestEngine,
    acme: TestTenant,
    folder: Folder,
}

/// The command of the fixture with these arguments.
fn command(arguments: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/fixtures/handler.py");
    format!("/usr/bin/python3 {script} {arguments}")
}

/// A table `[[handlers]]` with more settings.
fn table(arguments: &str, more: &str) -> String {
    format!("[[handlers]]\ncommand = '{}'\n{more}\n", command(arguments))
}

/// The settings of a secret `SMTP` of the tenant `acme`. They go before the tables.
fn with_secret(folder: &Folder, secret: &str) -> String {
    write_private(folder.path("secret"), secret);
    let file = folder.path("secret").display().to_string();
    let table = format!("[SMTP]\nfile = '{file}'\ntenants = ['acme']\n");
    write_private(folder.path("secrets.toml"), &table);
    format!("secrets = '{}'\n", folder.path("secrets.toml").display())
}

/// Starts an engine with the settings in this file.
async fn start_with(file: &str) -> Fixture {
    use_launcher(std::path::Path::new(env!("CARGO_BIN_EXE_polychron-consumer")));
    let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    let config = Config::read(&sources, &[]).unwrap();
    let mut registry = Registry::default();
    registry.insert("rust", |payload: Value, _| async move { Ok(payload) });
    let engine = TestEngine::start_with(registry, config).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    Fixture { engine, acme, folder: Folder::new() }
}

/// Starts an engine with one command that handles `report`.
async fn start(arguments: &str) -> Fixture {
    start_with(&table(&format!("{arguments} report"), "")).await
}

/// A job that is due now, with one attempt.
fn job(job_type: &str, payload: Value) -> NewJob {
    let clock = shared::clock::Clock::System;
    let name = format!("{job_type} {}", clock.boot_time().since_boot().as_nanos());
    let schedule = json!({"at": clock.wall_time()});
    NewJob { payload, max_attempts: 1, ..NewJob::new(&name, job_type, schedule) }
}

fn report(payload: Value) -> NewJob {
    job("report", payload)
}

impl Fixture {
    async fn run(&self, payload: Value) -> Execution {
        self.acme.run_job(&report(payload)).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// Adds a job and returns once its execution is running.
    async fn begin(&self, job: &NewJob) -> ExecutionId {
        self.add(&self.acme, job).await;
        eventually("it is running", || async {
            let executions = self.acme.executions(&job.name).await.unwrap();
            let running = executions.into_iter().find(|row| row.status.as_str() == "running")?;
            Some(running.id)
        })
        .await
    }

    async fn add(&self, tenant: &TestTenant, job: &NewJob) {
        tenant.store.insert_job(job).await.unwrap();
        tenant.wake().await;
    }

    /// The lines of a file that executions append to.
    fn marks(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn marked(&self, name: &str, count: usize) -> Vec<String> {
        eventually("so many starts", || async {
            Some(self.marks(name)).filter(|marks| marks.len() >= count)
        })
        .await
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }
}

async fn ended(store: &Arc<Store>, id: ExecutionId) -> Execution {
    eventually("it has ended", || async {
        let row = store.find_execution(id).await.unwrap()?;
        row.status.is_final().then_some(row)
    })
    .await
}

/// How an execution ended: `status/kind: message`.
fn how(execution: &Execution) -> String {
    let Execution { status, error_kind, error_message, .. } = execution;
    match (error_kind, error_message) {
        (None, _) => status.to_string(),
        (Some(kind), message) => {
            format!("{status}/{kind}: {}", message.as_deref().unwrap_or_default())
        }
    }
}

/// The processes whose command line has this text.
fn alive(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

async fn gone(text: &str) {
    eventually("the process tree is dead", || async { (alive(text) == 0).then_some(()) }).await;
}

/// A text that no other test's processes have.
fn unique() -> String {
    let bytes = shared::random::Random::system().bytes::<8>();
    format!("n{:016x}", u64::from_be_bytes(bytes))
}
