//! A whole Polychron of real processes, for tests: a control database, tenants' databases and a
//! virtual host of its own, and any number of producers and consumers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod hook;
mod http;
mod process;
mod proxy;
mod record;

use std::path::PathBuf;
use std::sync::Arc;

use audit::Scope;
use chrono::TimeDelta;
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

pub use hook::{Heard, Hook};
pub use http::{Answer, free_address, get};
pub use process::Process;
pub use proxy::{Path, Proxy, address_in};
pub use record::{Record, most_at_once};

/// A system that has no process yet.
pub struct System {
    /// Where its files are.
    pub folder: Folder,
    /// The control database.
    pub control: Control,
    /// The tenants, in the order of their making.
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
    /// The same, open.
    pub store: Arc<Store>,
}

impl System {
    /// With `tenants` tenants on PostgreSQL: `t0`, `t1` and so on.
    pub async fn new(tenants: usize) -> System {
        let connections = Connections::new(Clock::System, 20);
        let control_url = postgres_database().await;
        migrate(&control_url, Schema::Control).await.unwrap();
        let control = Control::new(&control_url, &connections).unwrap();
        let mut made = Vec::new();
        for n in 0..tenants {
            made.push(add_tenant(&control, &connections, n).await);
        }
        let (folder, amqp_url) = (Folder::new(), virtual_host().await);
        System { folder, control, tenants: made, amqp_url, control_url }
    }

    /// Starts a producer.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Process {
        Process::start("polychron-producer", &self.environment(settings))
    }

    /// Starts a consumer, which knows the diagnostic job types.
    pub fn consumer(&self, settings: &[(&str, &str)]) -> Process {
        Process::start("polychron-consumer", &self.environment(settings))
    }

    /// The control database's URL.
    pub fn control_url(&self) -> &str {
        self.control_url.expose()
    }

    /// From now on, processes reach this tenant's database by way of a proxy.
    pub async fn proxy_tenant(&self, tenant: &TestTenant) -> Proxy {
        let proxy = Proxy::start(address_in(tenant.url.expose())).await;
        let database_url = Some(proxy.url(tenant.url.expose()).parse().unwrap());
        let edit = TenantEdit { database_url, ..TenantEdit::default() };
        let listed = self.control.find_tenant(&tenant.slug).await.unwrap().unwrap();
        assert!(
            self.control.edit_tenant(listed.id, &edit, Clock::System.wall_time()).await.unwrap()
        );
        proxy
    }

    fn environment(&self, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let base = [
            ("DATABASE_URL", self.control_url.expose()),
            ("AMQP_URL", &self.amqp_url),
            ("POLYCHRON_DIAGNOSTICS", "on"),
        ];
        let all = base.iter().chain(settings);
        all.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The file that `record` jobs of this system write to.
    pub fn record_file(&self) -> PathBuf {
        self.folder.path("record.jsonl")
    }

    /// What `record` jobs have written so far.
    pub fn records(&self) -> Vec<Record> {
        record::read(&self.record_file())
    }

    /// Verifies the promise for every tenant, from its rows and from what handlers wrote down; fails
    /// the test with what is wrong.
    pub async fn audit(&self) {
        let records = self.records();
        let listed = self.control.list_tenants().await.unwrap();
        for (it, tenant) in self.tenants.iter().zip(&listed) {
            let now = it.store.now().await.unwrap();
            let (from, patience) = (now - TimeDelta::days(1), TimeDelta::minutes(1));
            let unseen = patience;
            let scope = Scope { from, to: None, now, patience, unseen, steady_clock: true };
            let report = audit::audit(&it.store, tenant, &scope).await.unwrap();
            assert!(report.violations.is_empty(), "{}: {:#?}", it.slug, report.violations);
            let wrong = audit::log::check(tenant.id, &records, &it.executions().await);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", it.slug);
        }
    }

    /// A one-off job that is due now and writes to [`System::record_file`].
    pub fn record_job(&self, name: &str, seconds: f64) -> NewJob {
        let payload = json!({"file": self.record_file(), "seconds": seconds});
        NewJob { payload, ..NewJob::new(name, "record", due_now()) }
    }
}

impl TestTenant {
    /// Every execution, oldest first.
    pub async fn executions(&self) -> Vec<Execution> {
        let mut all =
            self.store.list_executions(&ExecutionFilter::default(), i64::MAX).await.unwrap();
        all.reverse();
        all
    }

    /// The same, while the database may be away.
    pub async fn try_executions(&self) -> Option<Vec<Execution>> {
        let mut all =
            self.store.list_executions(&ExecutionFilter::default(), i64::MAX).await.ok()?;
        all.reverse();
        Some(all)
    }

    /// Makes what was published look as if that were long ago, so that the sweeper comes now.
    pub async fn forget_publishes(&self) {
        let statement = "UPDATE job_execution SET published_at = published_at - interval '1 hour'
                         WHERE status = 'dispatched'";
        execute(&self.url, statement).await;
    }
}

/// A schedule that is due at once, and once only.
pub fn due_now() -> Value {
    json!({"at": Clock::System.wall_time()})
}

async fn add_tenant(control: &Control, connections: &Connections, n: usize) -> TestTenant {
    let (url, slug) = (postgres_database().await, format!("t{n}"));
    migrate(&url, Schema::Tenant).await.unwrap();
    let now = Clock::System.wall_time();
    let id = TenantId::new(now, &Random::system());
    let store = Arc::new(Store::new(id, &url, connections).unwrap());
    assert!(store.claim_database(false).await.unwrap());
    let tenant = Tenant {
        id,
        slug: slug.clone(),
        name: slug.clone(),
        status: TenantStatus::Active,
        database_url: url.clone(),
        max_running: None,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&tenant).await.unwrap();
    TestTenant { slug, url, store }
}
