//! The embedded engine (`polychron up`), from which no other process takes over: it is killed while it
//! writes, is started twice, and runs out of disk space.

use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded::{DataFolder, Engine};
use polychron_tests::{Process, Record, TestTenant, read_records, record_job};
use shared::clock::Clock;
use shared::config::{Config, Sources};
use shared::random::Random;
use shared::tenant::Tenant;
use testkit::{Folder, eventually};

use crate::LEASE;
use crate::account::{Recovery, are_accounted_for, succeed};
use crate::limits::SmallDisk;

/// A data folder with one tenant.
struct Embedded {
    data: PathBuf,
    records: Folder,
    listed: Tenant,
    tenant: TestTenant,
}

impl Embedded {
    async fn new(data: &Path) -> Embedded {
        let folder = DataFolder::open(data).unwrap();
        let config = Config::read(&Sources::default(), &[]).unwrap();
        let engine = Engine::new(&folder, config).await.unwrap();
        let store = engine.add_tenant(&folder, "acme", "Acme").await.unwrap();
        let listed = engine.tenants.control().find_tenant("acme").await.unwrap().unwrap();
        let url = listed.database_url.clone();
        let tenant = TestTenant { slug: "acme".to_owned(), url, store };
        Embedded { data: data.to_owned(), records: Folder::new(), listed, tenant }
    }

    async fn add_jobs(&self, count: usize, seconds: f64) {
        for n in 0..count {
            let mut job = record_job(&format!("job-{n}"), &self.record_file(), seconds);
            // The test will kill it.
            job.max_attempts = 20;
            self.tenant.store.insert_job(&job).await.unwrap();
        }
    }

    fn up(&self) -> Process {
        let arguments = ["up", "--no-dashboard", "--data", &self.data.display().to_string()];
        let settings = [("POLYCHRON_DIAGNOSTICS", "on"), LEASE];
        let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Process::start_with("polychron", &arguments, &environment)
    }

    fn record_file(&self) -> PathBuf {
        self.records.path("record.jsonl")
    }

    fn records(&self) -> Vec<Record> {
        read_records(&self.record_file())
    }

    async fn all_succeed(self, count: usize) {
        let recovery = Recovery::begins();
        succeed(&self.tenant, count).await;
        recovery.ends();
        let records = self.records();
        self.tenant.check_occurrences(&self.listed, &records).await;
        are_accounted_for(&[self.tenant], &records).await;
    }
}

#[tokio::test]
async fn embedded_is_killed_while_it_writes() {
    const JOBS: usize = 300;
    let folder = Folder::new();
    let embedded = Embedded::new(&folder.path("data")).await;
    embedded.add_jobs(JOBS, 0.02).await;
    let random = Random::seeded(1);
    for _ in 0..20 {
        let up = embedded.up();
        // At any moment, from its start until it is under full load.
        Clock::System.sleep(Duration::from_millis((random.unit() * 1500.0) as u64)).await;
        up.kill();
    }
    let _up = embedded.up();
    embedded.all_succeed(JOBS).await;
}

#[tokio::test]
async fn embedded_is_started_twice() {
    let folder = Folder::new();
    let embedded = Embedded::new(&folder.path("data")).await;
    let _up = embedded.up();
    embedded.add_jobs(1, 0.0).await;
    eventually("the first works", || async { embedded.records().first().map(|_| ()) }).await;
    let mut second = embedded.up();
    assert_eq!(second.ended().await.code(), Some(1), "refused");
    second.logged("another process uses the data folder").await;
    embedded.all_succeed(1).await;
}

#[tokio::test]
async fn embedded_runs_out_of_disk_space() {
    const JOBS: usize = 300;
    let disk = SmallDisk::mount(8);
    let embedded = Embedded::new(&disk.path().join("data")).await;
    embedded.add_jobs(JOBS, 0.02).await;
    let up = embedded.up();
    eventually("some have run", || async { embedded.records().get(20).map(|_| ()) }).await;
    disk.fill();
    up.logged("full").await;
    disk.relieve();
    embedded.all_succeed(JOBS).await;
    drop(up);
    disk.unmount();
}
