//! Conformance tests of the store. Each case runs on both databases, as separate tests, so that the
//! name of a failed test includes the database.

/// Makes a test of each case on PostgreSQL and on SQLite. A case that is not listed is dead code,
/// which the compiler reports.
macro_rules! on_both_stores {
    ($($case:ident),+ $(,)?) => {
        mod postgres {
            $( #[tokio::test] async fn $case() { super::$case(testkit::TenantDatabase::postgres().await).await } )+
        }
        mod sqlite {
            $( #[tokio::test] async fn $case() { super::$case(testkit::TenantDatabase::sqlite().await).await } )+
        }
    };
}

mod batches;
mod claim;
mod dispatch;
mod finish;
mod hostile_rows;
mod huge_rows;
mod identity;
mod lease;
mod load;
mod locked_rows;
mod notify;
mod plain_sql;
mod plans;
mod prune;
mod replan;
mod sweep;
mod times;
mod waiting;

use std::time::Duration;

use shared::clock::{ManualClock, Time};
use shared::execution::Status;
use shared::id::{ExecutionId, JobId};
use shared::outcome::{Failure, Outcome};
use shared::store::{
    Advance, Claim, ClaimTerms, DbTime, Dispatch, Dispatched, Finish, NewExecution, Store,
};
use testkit::TenantDatabase;

const LEASE: Duration = Duration::from_secs(60);
const MINUTE: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// The database's time when its clock shows `time`.
fn at(time: Time) -> DbTime {
    DbTime::shown_by(&ManualClock::new(time))
}

/// The first row of an occurrence, for a dispatch.
fn occurrence(
    database: &TenantDatabase,
    job: JobId,
    scheduled_for: impl Into<Time>,
) -> NewExecution {
    NewExecution {
        id: database.execution_id(),
        job,
        scheduled_for: scheduled_for.into(),
        status: Status::Dispatched,
        stands_for: 1,
        error_kind: None,
        error_message: None,
    }
}

/// Advances a job, read at version 1, from `due_at` to a minute later.
fn step(job: JobId, due_at: impl Into<Time>) -> Advance {
    let due_at = due_at.into();
    Advance { job, version: 1, due_at, next_run_at: Some(due_at + MINUTE) }
}

/// Performs a dispatch that must not be stale.
async fn dispatch(store: &Store, dispatch: &Dispatch, now: DbTime) -> Vec<ExecutionId> {
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    match store.dispatch(dispatch, dispatch_no, now).await.unwrap() {
        Dispatched::Done(ids) => ids,
        Dispatched::Nothing => Vec::new(),
        Dispatched::Stale => panic!("there is no concurrent dispatch"),
    }
}

/// A new job that is due now, with its occurrence dispatched.
async fn dispatched(database: &TenantDatabase, store: &Store, name: &str) -> ExecutionId {
    let now = database.now();
    let job = database.insert_due_job(name, now).await;
    let executions = vec![occurrence(database, job, now)];
    let advances = vec![step(job, now)];
    let ids = dispatch(store, &Dispatch { advances, executions, released: vec![] }, now).await;
    assert_eq!(ids.len(), 1);
    ids[0]
}

/// A new job that is due now, with its occurrence claimed by `worker`.
async fn claimed(database: &TenantDatabase, store: &Store, name: &str, worker: &str) -> Claim {
    let id = dispatched(database, store, name).await;
    let mut claims = store.claim(&[id], &terms(worker), database.now()).await.unwrap();
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

/// The default queue of jobs.
fn default_queue() -> Vec<String> {
    vec!["default".to_owned()]
}

fn terms(worker: &str) -> ClaimTerms {
    ClaimTerms {
        worker: worker.to_owned(),
        queues: default_queue(),
        lease: LEASE,
        default_timeout: Duration::from_secs(1800),
    }
}

/// The finish that a worker writes for an outcome of a claimed row.
fn end(database: &TenantDatabase, claim: &Claim, worker: &str, outcome: &Outcome) -> Finish {
    let now = database.now();
    Finish::of(outcome, &claim.attempts(), (claim.id, worker), now, &database.random)
}

fn success() -> Outcome {
    Outcome::Success(serde_json::json!({"rows": 3}))
}

fn failure() -> Outcome {
    Outcome::Failure(Failure {
        message: "no".to_owned(),
        detail: None,
        retry: true,
        retry_after: None,
    })
}

/// The status of a row.
async fn status(store: &Store, id: ExecutionId) -> Status {
    store.find_execution(id).await.unwrap().unwrap().status
}

/// Takes one job through its whole life, for tests of what remains.
pub(crate) async fn exercise(database: &TenantDatabase, store: &Store) {
    let claim = claimed(database, store, "exercise", "w").await;
    store.heartbeat(&[claim.id], "w", LEASE, database.now()).await.unwrap();
    let ended = store.finish(&[end(database, &claim, "w", &failure())], database.now()).await;
    assert!(ended.unwrap()[0].has_next_attempt);
}
