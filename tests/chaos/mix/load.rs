//! The load of the mix, people's changes to it, and the check that everything is accounted for.

use polychron_tests::TestTenant;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::execution::Execution;
use shared::id::ExecutionId;
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::store::{ExecutionFilter, NewJob};
use testkit::try_execute;

use super::{Mix, TENANTS};

/// How many jobs each tenant has.
const JOBS: usize = 5;

impl Mix {
    /// Jobs of many kinds at every tenant.
    pub(super) async fn add_jobs(&self) {
        for tenant in &self.system.tenants {
            for n in 0..JOBS {
                let mut job = NewJob::new(&format!("job-{n}"), "record", self.schedule());
                let seconds = self.random.unit() * 3.0;
                job.payload = json!({"file": self.system.record_file(), "seconds": seconds});
                match n {
                    3 => (job.name, job.job_type) = ("other-sleep".to_owned(), "sleep".to_owned()),
                    4 => {
                        (job.name, job.job_type) = ("other-fail".to_owned(), "fail".to_owned());
                        job.payload = json!({"message": "not yet", "until_attempt": 3});
                    }
                    _ => {}
                }
                job.overlap_policy = OverlapPolicy::ALL[self.below(OverlapPolicy::ALL.len())];
                job.misfire_policy = MisfirePolicy::ALL[self.below(MisfirePolicy::ALL.len())];
                job.misfire_grace_seconds = [5, 60][self.below(2)];
                job.retry_base_seconds = 1;
                job.timeout_seconds = Some(20);
                tenant.store.insert_job(&job).await.unwrap();
            }
        }
    }

    fn schedule(&self) -> Value {
        match self.below(4) {
            0 => json!({"cron": "*/10 * * * * *"}),
            1 => json!({"every": "12s", "jitter": "6s"}),
            _ => json!({"every": format!("{}s", 5 + self.below(25))}),
        }
    }

    /// People edit jobs, run them by hand and cancel what is open. Their database may be down.
    pub(super) async fn people_act(&self) {
        let tenant = &self.system.tenants[self.below(TENANTS.0 + TENANTS.1)];
        let job = 1 + self.below(JOBS);
        let edit = match self.below(5) {
            0 => format!(
                "UPDATE polychron_job SET schedule = '{}' WHERE id = {job}",
                self.schedule()
            ),
            1 => format!("UPDATE polychron_job SET is_enabled = NOT is_enabled WHERE id = {job}"),
            2 => return self.run_by_hand(tenant).await,
            3 => return self.cancel_one(tenant).await,
            _ => format!("UPDATE polychron_job SET queue = queue WHERE id = {job}"),
        };
        let done = try_execute(&tenant.url, &edit).await;
        self.note(&format!("{} {edit}: {}", tenant.slug, done.is_ok()));
    }

    async fn run_by_hand(&self, tenant: &TestTenant) {
        let name = format!("job-{}", self.below(3));
        let Ok(now) = tenant.store.now().await else { return };
        let id = ExecutionId::new(now.time(), &self.random);
        let done = tenant.store.run_job(&name, id, None, now).await;
        self.note(&format!("{} {name} is run by hand: {}", tenant.slug, done.is_ok()));
    }

    async fn cancel_one(&self, tenant: &TestTenant) {
        let Some(open) = self.open_rows(tenant).await else { return };
        let (Some(row), Ok(now)) = (open.first(), tenant.store.now().await) else { return };
        let done = tenant.store.cancel(row.id, now).await;
        self.note(&format!("{} {} is to be cancelled: {}", tenant.slug, row.id, done.is_ok()));
    }

    /// The rows that are not final; `None` if the database is unavailable.
    pub(super) async fn open_rows(&self, tenant: &TestTenant) -> Option<Vec<Execution>> {
        let filter = ExecutionFilter::default();
        let rows = tenant.store.list_executions(&filter, i64::MAX).await.ok()?;
        Some(rows.into_iter().filter(|row| !row.status.is_final()).collect())
    }

    /// Stops all schedules.
    pub(super) async fn end_load(&self) {
        for tenant in &self.system.tenants {
            let off = "UPDATE polychron_job SET is_enabled = false";
            while try_execute(&tenant.url, off).await.is_err() {
                Clock::System.sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    }

    /// Checks the promise for every tenant, and reports how much ran.
    #[expect(clippy::print_stdout, reason = "how much was put to the test is worth seeing")]
    pub(super) async fn check_occurrences(&self) {
        self.system.check_occurrences().await;
        let (mut rows, mut retried) = (0, 0);
        for tenant in &self.system.tenants {
            let all = tenant.executions().await;
            rows += all.len();
            retried += all.iter().filter(|row| row.attempt > 1).count();
        }
        let starts = self.system.records().iter().filter(|it| it.event == "start").count();
        println!(
            "{} faults; {rows} executions, {retried} of them further attempts; {starts} starts of \
             `record` handlers; the check of occurrences finds nothing",
            self.faults
        );
    }
}
