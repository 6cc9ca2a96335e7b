//! The tenants and jobs of one seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use shared::clock::Time;
use shared::database_url::DatabaseUrl;
use shared::execution::Execution;
use shared::id::{JobId, TenantId};
use shared::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};
use shared::random::Random;
use shared::store::{Connections, Control, NewJob, Schema, Store, migrate};
use shared::tenant::{Tenant, TenantStatus};
use sqlx::{Connection as _, SqliteConnection, query_as};
use testkit::Folder;

use crate::chance::Chance as _;
use crate::judge::Judge;

/// A tenant, with access to its database that bypasses the gates.
pub(crate) struct SimTenant {
    pub(crate) id: TenantId,
    pub(crate) slug: String,
    pub(crate) store: Store,
    /// The session of the tenant's application.
    pub(crate) sql: SqliteConnection,
    pub(crate) max_running: Option<i32>,
    pub(crate) suspended: bool,
    /// Whether its database is unreachable.
    pub(crate) dark: bool,
    /// The overlap policy of every job that ever existed.
    pub(crate) overlap: BTreeMap<JobId, OverlapPolicy>,
    pub(crate) made: usize,
}

/// Empty databases of both schemas, as bytes: copying is cheaper than migrating.
fn template(schema: Schema) -> &'static [u8] {
    static TEMPLATES: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let make = |schema: Schema| {
        let folder = Folder::in_memory();
        let url = folder.sqlite_database("template.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(migrate(&url, schema)).unwrap();
        std::fs::read(folder.path("template.db")).unwrap()
    };
    let (control, tenant) = TEMPLATES.get_or_init(|| (make(Schema::Control), make(Schema::Tenant)));
    match schema {
        Schema::Control => control,
        Schema::Tenant => tenant,
    }
}

fn database(folder: &Folder, name: &str, schema: Schema) -> DatabaseUrl {
    let path = folder.path(name);
    std::fs::write(Path::new(&path), template(schema)).unwrap();
    folder.sqlite_database(name)
}

pub(crate) fn control(folder: &Folder) -> DatabaseUrl {
    database(folder, "control.db", Schema::Control)
}

/// Adds tenant number `n`.
pub(crate) async fn tenant(
    n: usize,
    folder: &Folder,
    control: &Control,
    connections: &Connections,
    random: &Random,
) -> SimTenant {
    let (slug, now) = (format!("t{n}"), connections.clock().wall_time());
    let url = database(folder, &format!("{slug}.db"), Schema::Tenant);
    let id = TenantId::new(now, random);
    let store = Store::new(id, &url, connections).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    let max_running = random.one_in(2).then(|| 1 + random.below(3) as i32);
    let tenant = Tenant {
        id,
        slug: slug.clone(),
        name: slug.clone(),
        status: TenantStatus::Active,
        database_url: url.clone(),
        schema: None,
        max_running,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&tenant).await.unwrap();
    let sql = SqliteConnection::connect(url.expose()).await.unwrap();
    let (suspended, dark, overlap) = (false, false, BTreeMap::new());
    SimTenant { id, slug, store, sql, max_running, suspended, dark, overlap, made: 0 }
}

impl SimTenant {
    /// Every row.
    pub(crate) async fn everything(&mut self) -> Vec<Execution> {
        query_as("SELECT *, NULL AS job_name FROM polychron_job_execution")
            .fetch_all(&mut self.sql)
            .await
            .unwrap()
    }

    /// The rows that were not final when the judge last read them, those that are not final now, and new
    /// ones.
    pub(crate) async fn what_may_have_changed(&mut self, judge: &Judge) -> Vec<Execution> {
        let (known, open) = judge.known(&self.slug);
        query_as(
            "SELECT *, NULL AS job_name FROM polychron_job_execution
             WHERE finished_at IS NULL OR id IN (SELECT value FROM json_each($1)) OR rowid > $2",
        )
        .bind(serde_json::to_string(&open).unwrap())
        .bind(known as i64)
        .fetch_all(&mut self.sql)
        .await
        .unwrap()
    }

    /// The jobs that were due before `time` and have neither a row nor been dispatched.
    pub(crate) async fn undispatched(&mut self, time: Time) -> Vec<String> {
        let undispatched = "SELECT name FROM polychron_job
                      WHERE is_enabled AND quarantined_reason IS NULL AND coalesce(next_run_at, '') < $1";
        sqlx::query_scalar(undispatched).bind(time).fetch_all(&mut self.sql).await.unwrap()
    }

    /// Adds a random job.
    pub(crate) async fn add_job(&mut self, now: Time, random: &Random) -> String {
        self.made += 1;
        let name = format!("job-{}", self.made);
        let mut job = NewJob::new(&name, "work", schedule(now, random));
        job.timeout_seconds = random.one_in(2).then(|| 5 + random.below(30) as i32);
        job.max_attempts = 1 + random.below(4) as i32;
        job.retry_base_seconds = *random.one_of(&[0, 1, 5, 20]);
        job.misfire_policy = *random.one_of(MisfirePolicy::ALL);
        job.misfire_grace_seconds = *random.one_of(&[1, 5, 60, 60]);
        job.overlap_policy = *random.one_of(OverlapPolicy::ALL);
        job.orphan_policy =
            *random.one_of(&[OrphanPolicy::Retry, OrphanPolicy::Retry, OrphanPolicy::Fail]);
        if random.one_in(20) {
            job.job_type = "unknown".into();
        }
        let id = self.store.insert_job(&job).await.unwrap();
        self.overlap.insert(id, job.overlap_policy);
        format!(
            "{name} {} {} {} attempts {} base {} grace {} timeout {:?}",
            job.schedule,
            job.overlap_policy,
            job.misfire_policy,
            job.max_attempts,
            job.retry_base_seconds,
            job.misfire_grace_seconds,
            job.timeout_seconds
        )
    }
}

pub(crate) fn schedule(now: Time, random: &Random) -> Value {
    match random.below(10) {
        0 => json!({"at": now + chrono::TimeDelta::seconds(random.below(200) as i64 - 50)}),
        1 => json!({"cron": "* * * * *"}),
        2 => json!({"cron": "*/20 * * * * *"}),
        3 => json!({"every": "30s", "jitter": "20s"}),
        4 => json!({"every": "15s", "end": now + chrono::TimeDelta::seconds(180)}),
        _ => json!({"every": format!("{}s", random.one_of(&[3, 10, 20, 45, 60, 120]))}),
    }
}
