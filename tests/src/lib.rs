//! A whole Polychron for tests: its own control database, tenants' databases and virtual host, and any
//! number of producers and consumers as real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod hook;
mod http;
mod process;
mod proxy;
mod record;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use occurrences::{ClockHistory, Scope};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::execution::Execution;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{
    Connections, Control, ExecutionFilter, NewJob, Schema, Store, TenantEdit, migrate,
};
use shared::tenant::{Tenant, TenantStatus};
use testkit::{Folder, execute, postgres_database, virtual_host};

pub use hook::{Call, Hook};
pub use http::{Answer, free_address, get};
pub use process::Process;
pub use proxy::{Path, Proxy, address_in};
pub use record::{Record, most_at_once, read as read_records};

/// A system without processes at first.
pub struct System {
    /// Its files.
    pub folder: Folder,
    /// The control database.
    pub control: Control,
    /// The tenants, in the order of their creation.
    pub tenants: Vec<TestTenant>,
    /// The broker's URL.
    pub amqp_url: String,
    control_url: DatabaseUrl,
}

/// A tenant of a [`System`].
pub struct TestTenant {
    /// Its slug.
    pub slug: String,
    /// Its database.
    pub url: DatabaseUrl,
    /// A store on its database.
    pub store: Arc<Store>,
}

impl System {
    /// With `tenants` tenants on PostgreSQL: `t0`, `t1` and so on.
    pub async fn new(tenants: usize) -> System {
        System::with_files(tenants, 0).await
    }

    /// The same, and after them `files` tenants whose databases are SQLite files.
    pub async fn with_files(tenants: usize, files: usize) -> System {
        let folder = Folder::new();
        let connections = Connections::new(Clock::System, 20);
        let control_url = postgres_database().await;
        migrate(&control_url, Schema::Control).await.unwrap();
        let control = Control::new(&control_url, &connections).unwrap();
        let mut made = Vec::new();
        for n in 0..tenants + files {
            let slug = format!("t{n}");
            let url = match n < tenants {
                true => postgres_database().await,
                false => folder.sqlite_database(&format!("{slug}.db")),
            };
            made.push(add_tenant(&control, &connections, slug, url).await);
        }
        let amqp_url = virtual_host().await;
        System { folder, control, tenants: made, amqp_url, control_url }
    }

    /// Over a control database that is there, whose tenants have the schema of today.
    pub async fn over(control_url: DatabaseUrl) -> System {
        let connections = Connections::new(Clock::System, 20);
        let control = Control::new(&control_url, &connections).unwrap();
        let mut tenants = Vec::new();
        for listed in control.list_tenants().await.unwrap() {
            let store = Arc::new(Store::of(&listed, &connections).unwrap());
            tenants.push(TestTenant { slug: listed.slug, url: listed.database_url, store });
        }
        let (folder, amqp_url) = (Folder::new(), virtual_host().await);
        System { folder, control, tenants, amqp_url, control_url }
    }

    /// Starts a producer.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Process {
        Process::start("polychron-producer", &self.environment(settings))
    }

    /// Starts a consumer with the diagnostic job types ([`with_python_handlers`]).
    pub fn consumer(&self, settings: &[(&str, &str)]) -> Process {
        Process::start("polychron-consumer", &self.environment(settings))
    }

    /// Starts any other program of the workspace.
    pub fn program(&self, name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Process {
        Process::start_with(name, arguments, &self.environment(settings))
    }

    /// The control database's URL.
    pub fn control_url(&self) -> &str {
        self.control_url.expose()
    }

    /// From now on, processes reach this tenant's database through a proxy.
    pub async fn proxy_tenant(&self, tenant: &TestTenant) -> Proxy {
        let proxy = Proxy::start(address_in(tenant.url.expose())).await;
        self.move_tenant(tenant, &proxy.url(tenant.url.expose())).await;
        proxy
    }

    /// From now on, this tenant's database is at `url`.
    pub async fn move_tenant(&self, tenant: &TestTenant, url: &str) {
        let database_url = Some(url.parse().unwrap());
        let edit = TenantEdit { database_url, ..TenantEdit::default() };
        let listed = self.control.find_tenant(&tenant.slug).await.unwrap().unwrap();
        let now = self.control.now().await.unwrap();
        assert!(self.control.edit_tenant(listed.id, &edit, now).await.unwrap().is_applied());
    }

    fn environment(&self, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let python = fixture("diagnostic.py");
        let diagnostic = match with_python_handlers() {
            true => ("POLYCHRON_HANDLERS", python.as_str()),
            false => ("POLYCHRON_DIAGNOSTICS", "on"),
        };
        let base =
            [("DATABASE_URL", self.control_url.expose()), ("AMQP_URL", &self.amqp_url), diagnostic];
        let all = base.iter().chain(settings);
        all.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The file that `record` jobs of this system write to.
    pub fn record_file(&self) -> PathBuf {
        self.folder.path("record.jsonl")
    }

    /// What `record` jobs have written so far.
    pub fn records(&self) -> Vec<Record> {
        read_records(&self.record_file())
    }

    /// Checks the promise for every tenant, from its rows and from what handlers wrote down. Fails
    /// the test with the violations.
    pub async fn check_occurrences(&self) {
        let records = self.records();
        let listed = self.control.list_tenants().await.unwrap();
        for it in &self.tenants {
            let listed = listed.iter().find(|tenant| tenant.slug == it.slug).unwrap();
            it.check_occurrences(listed, &records).await;
        }
    }

    /// A one-off job that is due now and writes to [`System::record_file`].
    pub fn record_job(&self, name: &str, seconds: f64) -> NewJob {
        record_job(name, &self.record_file(), seconds)
    }
}

impl TestTenant {
    /// Checks the promise for this tenant; `listed` is its row in the control database. Fails the
    /// test with the violations.
    pub async fn check_occurrences(&self, listed: &Tenant, records: &[Record]) {
        let now = self.store.now().await.unwrap();
        let (from, patience) = (now - TimeDelta::days(1), TimeDelta::minutes(1));
        let dispatch_patience = patience;
        let clock = ClockHistory::Monotonic;
        let scope = Scope {
            from: from.time(),
            to: None,
            now: now.time(),
            patience,
            dispatch_patience,
            clock,
        };
        let report = occurrences::check(&self.store, listed, &scope).await.unwrap();
        assert!(report.violations.is_empty(), "{}: {:#?}", self.slug, report.violations);
        let wrong = occurrences::log::check(listed.id, records, &self.executions().await);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", self.slug);
    }

    /// Every execution, oldest first.
    pub async fn executions(&self) -> Vec<Execution> {
        let mut all =
            self.store.list_executions(&ExecutionFilter::default(), i64::MAX).await.unwrap();
        all.reverse();
        all
    }

    /// The same if the database may be unavailable.
    pub async fn try_executions(&self) -> Option<Vec<Execution>> {
        let mut all =
            self.store.list_executions(&ExecutionFilter::default(), i64::MAX).await.ok()?;
        all.reverse();
        Some(all)
    }

    /// Backdates what was published, which makes it due for the sweeper.
    pub async fn forget_publishes(&self) {
        let statement =
            "UPDATE polychron_job_execution SET published_at = published_at - interval '1 hour'
                         WHERE status = 'dispatched'";
        execute(&self.url, statement).await;
    }
}

/// A one-off job that is due now and writes to `file`.
pub fn record_job(name: &str, file: &std::path::Path, seconds: f64) -> NewJob {
    let payload = json!({"file": file, "seconds": seconds});
    NewJob { payload, ..NewJob::new(name, "record", due_now()) }
}

/// A schedule with one occurrence, which is due now.
pub fn due_now() -> Value {
    json!({"at": Clock::System.wall_time()})
}

/// Prepares a tenant's database and adds the tenant.
pub async fn add_tenant(
    control: &Control,
    connections: &Connections,
    slug: String,
    url: DatabaseUrl,
) -> TestTenant {
    migrate(&url, Schema::Tenant).await.unwrap();
    let now = Clock::System.wall_time();
    let id = TenantId::new(now, &Random::system());
    let store = Arc::new(Store::new(id, &url, connections).unwrap());
    assert!(store.set_owner().await.unwrap().is_applied());
    let tenant = Tenant {
        id,
        slug: slug.clone(),
        name: slug.clone(),
        status: TenantStatus::Active,
        database_url: url.clone(),
        schema: None,
        max_running: None,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&tenant).await.unwrap();
    TestTenant { slug, url, store }
}

/// The command line of `testkit/fixtures/handler.py` with these arguments.
pub fn handler_command(arguments: &str) -> String {
    format!("{} {arguments}", fixture("handler.py"))
}

/// The command line of a Python program in `testkit/fixtures`.
fn fixture(name: &str) -> String {
    format!("/usr/bin/python3 {}/../testkit/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether consumers run the diagnostic job types in Python processes: POLYCHRON_TEST_HANDLERS=python.
/// Otherwise they are Rust handlers.
#[expect(clippy::disallowed_methods, reason = "the suites are run with either kind of handler")]
pub fn with_python_handlers() -> bool {
    std::env::var("POLYCHRON_TEST_HANDLERS").is_ok_and(|kind| kind == "python")
}
