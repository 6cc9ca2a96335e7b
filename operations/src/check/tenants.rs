//! Each tenant's database: whether it can be reached, is that tenant's, has a known schema, and has
//! jobs that can be scheduled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::clock::delta;
use shared::store::{
    ConnectionLimits, Connections, JobSummary, LaggingIds, LockHolder, Quarantined, Store,
    StoreError,
};
use shared::tenant::{Tenant, TenantStatus};

use super::connections::Servers;
use crate::failure::reason;
use crate::finding::Finding;
use crate::next_time;
use crate::step::Step;

/// How many databases are checked at once.
const AT_ONCE: usize = 8;
/// How many quarantined jobs are named of each tenant.
const QUARANTINED_MAX: i64 = 20;
/// A job that has been due for longer should have been dispatched.
const LOCKED_FOR: Duration = Duration::from_secs(3);

/// What jobs need of consumers.
#[derive(Default)]
pub struct Needs {
    /// Job types and their queues, each with the tenants that use them.
    pub types: BTreeMap<(String, String), BTreeSet<String>>,
    /// Tenants that are reached as a superuser of their server.
    pub superusers: Vec<String>,
    /// The servers that they are on.
    pub servers: Servers,
    /// The longest timeout that any job states.
    pub longest_timeout: Option<Duration>,
}

/// Checks every tenant, a few at once.
pub(super) async fn check(
    tenants: Vec<Tenant>,
    connections: &Connections,
    findings: &mut Vec<Finding>,
    on_step: &mut impl FnMut(Step),
) -> Needs {
    let mut needs = Needs::default();
    let ask = |tenant: Tenant| async {
        let answer = ask(&tenant, connections).await;
        (tenant, answer)
    };
    let mut step = Step::new("checking", tenants.len());
    on_step(step);
    let mut answers = stream::iter(tenants).map(ask).buffered(AT_ONCE);
    while let Some((tenant, answer)) = answers.next().await {
        step.done += 1;
        on_step(step);
        let subject = format!("tenant {}", tenant.slug);
        let Answer {
            summaries,
            quarantined,
            is_superuser,
            exercised,
            next_times,
            locked,
            lagging,
            server,
        } = match answer {
            Ok(answer) => answer,
            Err((error, blocked)) => {
                let reason = blocked.unwrap_or_else(|| reason(&error));
                let finding = format!("{}: {reason}", tenant.database_url);
                findings.push(Finding::problem(subject, finding, remedy(&tenant, &error)));
                continue;
            }
        };
        let role = tenant.database_url.connection().map(|connection| connection.role);
        if let (Some((address, limits)), Some(role)) = (server, role) {
            needs.servers.add(&address, role, limits);
        }
        if is_superuser {
            needs.superusers.push(tenant.slug.clone());
        }
        if let Err(error) = exercised {
            findings.push(of_rights(&tenant, &error));
        }
        let jobs: i64 = summaries.iter().map(|summary| summary.jobs).sum();
        let (status, url) = (tenant.status, &tenant.database_url);
        findings.push(Finding::ok(
            subject.clone(),
            format!("{status}, {url} answers; enabled jobs: {jobs}"),
        ));
        findings.extend(quarantined.into_iter().map(|job| of_quarantined(&tenant, job)));
        findings.extend(next_times);
        if tenant.status == TenantStatus::Active {
            findings.extend(locked.iter().map(|holder| of_locked(&tenant, holder)));
        }
        findings.extend(lagging.map(|ids| of_lagging(&subject, "polychron_job", &ids)));
        if tenant.status == TenantStatus::Active {
            needs.add(&tenant, summaries);
        }
    }
    needs
}

/// What a tenant's database says.
struct Answer {
    summaries: Vec<JobSummary>,
    quarantined: Vec<Quarantined>,
    is_superuser: bool,
    /// Next times that are not what their schedules say.
    next_times: Vec<Finding>,
    /// Whether the engine may write what it must.
    exercised: Result<(), StoreError>,
    /// The sessions that have locked the rows of due jobs.
    locked: Vec<LockHolder>,
    lagging: Option<LaggingIds>,
    /// The address of its server, and that one's limits.
    server: Option<(String, ConnectionLimits)>,
}

/// Asks a tenant's database. With the error comes which session kept it waiting, if one did.
async fn ask(
    tenant: &Tenant,
    connections: &Connections,
) -> Result<Answer, (StoreError, Option<String>)> {
    let store = Store::of(tenant, connections).map_err(|error| (error, None))?;
    match read(tenant, &store).await {
        Ok(answer) => Ok(answer),
        Err(error @ StoreError::Conflict(_)) => {
            let blocked = store.why_blocked(&error).await;
            Err((error, Some(blocked)))
        }
        Err(error) => Err((error, None)),
    }
}

async fn read(tenant: &Tenant, store: &Store) -> Result<Answer, StoreError> {
    let now = store.now().await?;
    let limits = store.connection_limits().await?;
    Ok(Answer {
        summaries: store.summarize_jobs().await?,
        quarantined: store.list_quarantined(QUARANTINED_MAX).await?,
        next_times: next_time::of_tenant(tenant, store).await?,
        is_superuser: store.is_superuser().await?,
        exercised: store.exercise_rights().await,
        locked: store.find_lock_holders(now - delta(LOCKED_FOR)).await?,
        lagging: store.find_lagging_ids().await?,
        server: store.server().map(str::to_owned).zip(limits),
    })
}

impl Needs {
    fn add(&mut self, tenant: &Tenant, summaries: Vec<JobSummary>) {
        for summary in summaries {
            let seconds = summary.longest_timeout_seconds.and_then(|s| u64::try_from(s).ok());
            self.longest_timeout = self.longest_timeout.max(seconds.map(Duration::from_secs));
            let users = self.types.entry((summary.job_type, summary.queue)).or_default();
            users.insert(tenant.slug.clone());
        }
    }
}

fn of_quarantined(tenant: &Tenant, job: Quarantined) -> Finding {
    let slug = &tenant.slug;
    let Quarantined { name, quarantined_reason } = job;
    Finding::problem(
        format!("tenant {slug}"),
        format!("job {name} is quarantined: {quarantined_reason}"),
        format!("correct its schedule: `polychron job edit {slug} {name}`"),
    )
}

/// Of a database that answers, and lacks what the engine needs.
fn of_rights(tenant: &Tenant, error: &StoreError) -> Finding {
    let remedy = match error {
        StoreError::Denied(_) => {
            let role = tenant.database_url.connection().map(|connection| connection.role);
            format!(
                "let the owner of the tables run `GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO \"{}\"`",
                tables(tenant).join(", "),
                role.unwrap_or_default()
            )
        }
        StoreError::Unreachable(_) => format!(
            "make it writable (it is a standby, `default_transaction_read_only` is on, or its disk is \
             full), or name the primary by `polychron tenant edit {} --database-url-file FILE`",
            tenant.slug
        ),
        error => remedy(tenant, error),
    };
    let finding = format!("its jobs do not run: {}", reason(error));
    Finding::problem(format!("tenant {}", tenant.slug), finding, remedy)
}

/// A tenant's tables, with their schema if it has one of its own.
fn tables(tenant: &Tenant) -> [String; 3] {
    let schema = tenant.schema.as_ref().map(|schema| format!("\"{schema}\".")).unwrap_or_default();
    ["polychron_job", "polychron_job_execution", "polychron_identity"]
        .map(|table| format!("{schema}{table}"))
}

/// Of a sequence that lags behind its table.
pub(super) fn of_lagging(subject: &str, table: &str, ids: &LaggingIds) -> Finding {
    let LaggingIds { name, highest } = ids;
    Finding::problem(
        subject,
        format!(
            "the sequence {name} lags behind {table}: inserts fail, because their ids are taken"
        ),
        format!("run `SELECT setval('{name}', {highest})` there"),
    )
}

fn of_locked(tenant: &Tenant, holder: &LockHolder) -> Finding {
    let LockHolder { name, session, .. } = holder;
    let remedy = match session.pid {
        Some(pid) => {
            format!("end that transaction, or the session: `SELECT pg_terminate_backend({pid})`")
        }
        None => "end it by `COMMIT PREPARED` or `ROLLBACK PREPARED`".to_owned(),
    };
    Finding::problem(
        format!("tenant {}", tenant.slug),
        format!("job {name} is due and waits, because its row is locked by {session}"),
        remedy,
    )
}

fn remedy(tenant: &Tenant, error: &StoreError) -> String {
    let slug = &tenant.slug;
    match error {
        StoreError::Schema { .. } | StoreError::Setup(_) => "run `polychron migrate`".to_owned(),
        StoreError::TooOld { .. } => "install a newer program here".to_owned(),
        StoreError::Unowned => {
            format!("run `polychron tenant add {slug}` once more, with the same URL")
        }
        StoreError::Owned(_) => format!(
            "correct its URL by `polychron tenant edit {slug}`, or take the database over by \
             `polychron tenant add {slug} --adopt` with the same URL"
        ),
        StoreError::Unreachable(_)
        | StoreError::Slow(_)
        | StoreError::Busy(_)
        | StoreError::Denied(_)
        | StoreError::TooLarge(_)
        | StoreError::Failed(_) => format!(
            "start the database, restore its role's rights, or correct its URL by \
             `polychron tenant edit {slug} --database-url-file FILE`"
        ),
        StoreError::MissingTable(_) => {
            let record =
                tables(tenant)[2].replace("polychron_identity", "polychron_tenant_migration");
            let tables = tables(tenant).into_iter().chain([record]);
            let drop: Vec<_> =
                tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect();
            format!(
                "restore them from a backup; or begin with empty ones: run `{}` there, then \
                 `polychron tenant add {slug}` with the same URL",
                drop.join("; ")
            )
        }
        StoreError::Url(_) => {
            format!("correct its URL by `polychron tenant edit {slug} --database-url-file FILE`")
        }
        StoreError::Pooled => {
            "set `pool_mode = session` in the pooler, or connect without it".to_owned()
        }
        StoreError::Elsewhere { .. } => "see the control database".to_owned(),
        StoreError::Conflict(_) => "wait until that session has ended, or end it".to_owned(),
        StoreError::Refused(_) | StoreError::StaleSession(_) => "try again".to_owned(),
    }
}
