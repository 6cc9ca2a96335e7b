//! A row that another session has locked stops its own job or execution, and nothing else. For PostgreSQL:
//! SQLite locks whole files.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::Clock;
use shared::execution::Status;
use shared::notification::Event;
use shared::output::Report;
use shared::store::{Arm, Dispatch, Dispatched, Keep, Notification, Notified, SentBefore, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use testkit::TenantDatabase;

use super::{
    LEASE, at, claimed, default_queue, dispatched, end, occurrence, status, step, success, terms,
};

/// A transaction of the tenant's application, in which it has locked a row.
struct Lock(PgConnection);

impl Lock {
    async fn take(database: &TenantDatabase, statement: &str) -> Lock {
        let mut session = PgConnection::connect(database.url.expose()).await.unwrap();
        let sql = format!("SET application_name = 'their psql'; BEGIN; {statement}");
        raw_sql(AssertSqlSafe(sql)).execute(&mut session).await.unwrap();
        Lock(session)
    }

    async fn pid(&mut self) -> i32 {
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut self.0).await.unwrap()
    }

    async fn release(mut self) {
        raw_sql("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

/// Fails if what is awaited has waited for a lock.
async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let before = Clock::System.boot_time();
    let answer = what.await;
    let waited = Clock::System.boot_time() - before;
    assert!(waited < Duration::from_secs(1), "it waited {waited:?}");
    answer
}

/// Dispatches three jobs of which one is locked.
async fn dispatch_three(database: &TenantDatabase, store: &Store) -> Dispatched {
    let (now, mut dispatch) = (database.now(), Dispatch::default());
    for job in store.read_due(now, now, &default_queue(), 9).await.unwrap() {
        dispatch.advances.push(step(job.id, job.next_run_at));
        dispatch.executions.push(occurrence(database, job.id, job.next_run_at));
    }
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    store.dispatch(&dispatch, dispatch_no, now).await.unwrap()
}

#[tokio::test]
async fn a_locked_job_is_not_dispatched_and_its_neighbours_are() {
    for lock in [
        "UPDATE polychron_job SET payload = '{}' WHERE name = 'j3'",
        "UPDATE polychron_job SET name = 'renamed' WHERE name = 'j3'",
        "DELETE FROM polychron_job WHERE name = 'j3'",
        "SELECT FROM polychron_job WHERE name = 'j3' FOR UPDATE",
        "SELECT FROM polychron_job WHERE name = 'j3' FOR NO KEY UPDATE",
        "SELECT FROM polychron_job WHERE name = 'j3' FOR SHARE",
    ] {
        let database = TenantDatabase::postgres().await;
        let (store, now) = (database.store(), database.now());
        for job in ["j1", "j2", "j3"] {
            database.insert_due_job(job, now).await;
        }
        let mut held = Lock::take(&database, lock).await;
        let before = Clock::System.boot_time();
        let done = dispatch_three(&database, &store).await;
        assert!(matches!(done, Dispatched::Done(ids) if ids.len() == 2), "{lock}");
        let waited = Clock::System.boot_time() - before;
        assert!(waited < Duration::from_secs(12), "it waits, but not for ever");
        let holders = store.find_lock_holders(now).await.unwrap();
        let [holder] = holders.as_slice() else { panic!("{lock}: {holders:?}") };
        assert_eq!((holder.name.as_str(), holder.session.pid), ("j3", Some(held.pid().await)));
        let shown = holder.session.to_string();
        assert!(shown.contains("their psql"), "{shown}");

        let again = at_once(dispatch_three(&database, &store)).await;
        assert_eq!(again, Dispatched::Nothing, "{lock}");
        let due = store.read_due(now, now, &default_queue(), 9).await.unwrap();
        assert!(due.is_empty(), "{lock}: it is left out, so that it does not fill the batch");
        held.release().await;
        let later = database.advance(Duration::from_millis(750));
        assert_eq!(
            store.read_due(later, later, &default_queue(), 9).await.unwrap().len(),
            1,
            "{lock}"
        );
        let done = dispatch_three(&database, &store).await;
        assert!(matches!(done, Dispatched::Done(ids) if ids.len() == 1), "{lock}");
    }
}

#[tokio::test]
async fn a_key_share_lock_holds_up_nothing() {
    let database = TenantDatabase::postgres().await;
    let (store, now) = (database.store(), database.now());
    database.insert_due_job("j1", now).await;
    let held = Lock::take(&database, "SELECT FROM polychron_job FOR KEY SHARE").await;
    let done = dispatch_three(&database, &store).await;
    assert!(matches!(done, Dispatched::Done(ids) if ids.len() == 1));
    held.release().await;
}

#[tokio::test]
async fn every_session_that_shares_a_lock_is_found() {
    let database = TenantDatabase::postgres().await;
    let (store, now) = (database.store(), database.now());
    database.insert_due_job("j3", now).await;
    let share = "SELECT FROM polychron_job WHERE name = 'j3' FOR SHARE";
    let (one, other) = (Lock::take(&database, share).await, Lock::take(&database, share).await);
    assert_eq!(dispatch_three(&database, &store).await, Dispatched::Nothing);
    assert_eq!(store.find_lock_holders(now).await.unwrap().len(), 2);
    one.release().await;
    other.release().await;
}

#[tokio::test]
async fn jobs_beside_a_locked_one_are_armed_quarantined_pruned_and_notified_of() {
    let database = TenantDatabase::postgres().await;
    let (store, now) = (database.store(), database.now());
    let (free, locked) = (database.insert_job("free").await, database.insert_job("locked").await);
    let held =
        Lock::take(&database, "UPDATE polychron_job SET payload = '{}' WHERE name = 'locked'")
            .await;
    let arm = |job| Arm { job, version: 1, next_run_at: now.time() };
    assert_eq!(at_once(store.arm(&[arm(free), arm(locked)], now)).await.unwrap(), 1);
    assert_eq!(at_once(store.arm(&[arm(locked)], now)).await.unwrap(), 0);
    assert!(store.read_unarmed(9).await.unwrap().is_empty(), "it is left out for a moment");
    assert!(!at_once(store.quarantine(locked, 1, "why")).await.unwrap().is_applied());
    assert!(at_once(store.quarantine(free, 1, "why")).await.unwrap().is_applied());
    let keep = Keep { newest: 1, per_job: Some(1), since: None, finished_before: now };
    assert_eq!(at_once(store.prune(locked, &keep, 9)).await.unwrap(), 0);
    let late = Notification { event: Event::Late, id: database.execution_id() };
    assert_eq!(at_once(store.notify(locked, None, late, now)).await.unwrap(), Notified::NotNeeded);
    held.release().await;
    let later = database.advance(Duration::from_secs(1));
    assert_eq!(store.read_unarmed(9).await.unwrap().len(), 1);
    assert_eq!(store.arm(&[arm(locked)], later).await.unwrap(), 1);
}

#[tokio::test]
async fn executions_beside_a_locked_one_are_renewed_reported_swept_and_rescued() {
    let database = TenantDatabase::postgres().await;
    let store = database.store();
    let (free, locked) = (
        claimed(&database, &store, "free", "w").await,
        claimed(&database, &store, "locked", "w").await,
    );
    let waiting = dispatched(&database, &store, "waiting").await;
    let lock = |id| format!("SELECT FROM polychron_job_execution WHERE id = '{id}' FOR UPDATE");
    let held = Lock::take(&database, &lock(locked.id)).await;
    let also = Lock::take(&database, &lock(waiting)).await;

    let now = database.advance(Duration::from_secs(10));
    let ids = [free.id, locked.id];
    let beats = at_once(store.heartbeat(&ids, "w", LEASE, now)).await.unwrap();
    let renewed = |id| beats.iter().find(|beat| beat.id == id).map(|beat| beat.renewed);
    assert_eq!(
        (renewed(free.id), renewed(locked.id)),
        (Some(true), Some(false)),
        "it is still ours"
    );
    let reports = ids.map(|id| (id, Report { output: Some("x".into()), progress: None }));
    at_once(store.report(&reports, "w")).await.unwrap();
    assert_eq!(store.find_execution(free.id).await.unwrap().unwrap().output.as_deref(), Some("x"));
    let before = SentBefore { dispatched: now, published: [now; 5] };
    let unclaimed = store.read_unclaimed(&before, 9).await.unwrap();
    assert_eq!(unclaimed.len(), 1);
    assert!(at_once(store.sweep(&unclaimed, now)).await.unwrap().is_empty());

    let now = at(now.time() + TimeDelta::minutes(5));
    let expired = at_once(store.read_expired(now, 9)).await.unwrap();
    assert_eq!(expired.iter().map(|row| row.id).collect::<Vec<_>>(), [free.id]);
    let ends = [end(&database, &free, "w", &success())];
    assert_eq!(at_once(store.finish(&ends, now)).await.unwrap().len(), 1);
    held.release().await;
    also.release().await;
    assert_eq!(store.read_expired(now, 9).await.unwrap().len(), 1);
    assert_eq!(status(&store, waiting).await, Status::Dispatched);
    assert_eq!(store.claim(&[waiting], &terms("w"), now).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_locked_row_that_waits_is_not_released_and_the_others_are() {
    let database = TenantDatabase::postgres().await;
    let (store, now) = (database.store(), database.now());
    let mut released = Vec::new();
    for job in ["free", "locked"] {
        database.insert_job(job).await;
        let id = database.execution_id();
        assert!(store.run_job(job, id, None, now).await.unwrap().is_applied());
        released.push(id);
    }
    let sql =
        format!("SELECT FROM polychron_job_execution WHERE id = '{}' FOR UPDATE", released[1]);
    let held = Lock::take(&database, &sql).await;
    let dispatch = Dispatch { released: released.clone(), ..Dispatch::default() };
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    let done = store.dispatch(&dispatch, dispatch_no, now).await.unwrap();
    assert_eq!(done, Dispatched::Done(vec![released[0]]));
    held.release().await;
}

#[tokio::test]
async fn the_session_that_keeps_a_table_locked_and_those_it_waits_for_are_found() {
    let database = TenantDatabase::postgres().await;
    let store = database.store();
    store.poll().await.unwrap();
    let mut reader = Lock::take(&database, "SELECT FROM polychron_job").await;
    let mut altering = Lock::take(&database, "SELECT 1").await;
    let (reader_pid, altering_pid) = (reader.pid().await, altering.pid().await);
    let alter = tokio::spawn(async move {
        let sql = raw_sql("ALTER TABLE polychron_job ADD COLUMN extra integer");
        sql.execute(&mut altering.0).await.map(|_| ())
    });
    let pids = loop {
        let locks = store.find_table_locks().await.unwrap();
        if !locks.is_empty() {
            break locks.iter().filter_map(|lock| lock.session.pid).collect::<Vec<_>>();
        }
        tokio::task::yield_now().await;
    };
    assert!(pids.contains(&reader_pid) && pids.contains(&altering_pid), "{pids:?}");
    assert!(store.poll().await.is_err(), "it waits behind them");
    reader.release().await;
    alter.await.unwrap().unwrap();
    store.poll().await.unwrap();
}
