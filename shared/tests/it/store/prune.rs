//! Pruning: which rows are deleted, and which are always kept.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Clock, Time};
use shared::execution::Status;
use shared::id::JobId;
use shared::store::{Change, Connections, Control, Keep, Schema, Store, Worker, migrate};
use testkit::{Folder, TenantDatabase, postgres_database};

on_both_stores! {
    old_rows_are_pruned_in_batches_and_pruned_until_advances,
    rows_beyond_the_maximum_are_pruned_at_any_age,
    the_last_success_and_the_last_failure_stay,
    an_occurrence_is_pruned_with_all_its_attempts_or_not_at_all,
    the_history_of_a_deleted_job_is_pruned_too,
    the_audit_and_dead_workers_are_pruned,
}

/// Keeps the newest two, and those younger than ten minutes.
fn keep(database: &TenantDatabase) -> Keep {
    let now = database.now();
    Keep {
        newest: 2,
        per_job: None,
        since: Some(now - TimeDelta::minutes(10)),
        finished_before: now - TimeDelta::minutes(1),
    }
}

/// Inserts a final execution, this many minutes old.
async fn insert(database: &TenantDatabase, job: JobId, minutes: i64, attempt: i32, status: Status) {
    let at = database.now() - TimeDelta::minutes(minutes);
    let at = at.time().to_rfc3339();
    let id = database.execution_id();
    let finished = if status.is_final() { format!("'{at}'") } else { "NULL".to_owned() };
    database
        .execute(&format!(
            "INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, attempt, status, finished_at)
             VALUES ('{id}', {}, '{at}', 'schedule', {attempt}, '{status}', {finished})",
            job.0
        ))
        .await;
}

/// The ages of the remaining occurrences in minutes, newest first.
async fn remaining(database: &TenantDatabase, store: &Store, job: JobId) -> Vec<i64> {
    let far: Time = "2200-01-01T00:00:00Z".parse().unwrap();
    let long_ago: Time = "2000-01-01T00:00:00Z".parse().unwrap();
    let rows = store.read_history((JobId(0), long_ago, 0), (long_ago, far), 1000).await.unwrap();
    let mut minutes: Vec<i64> = rows
        .iter()
        .filter(|row| row.job_id == job)
        .map(|row| (database.now() - row.scheduled_for).num_minutes())
        .collect();
    minutes.reverse();
    minutes
}

async fn pruned_until(store: &Store) -> Option<Time> {
    store.find_job("a").await.unwrap().unwrap().pruned_until
}

async fn old_rows_are_pruned_in_batches_and_pruned_until_advances(database: TenantDatabase) {
    let (store, job) = (database.store(), database.insert_job("a").await);
    let other = database.insert_job("b").await;
    for minutes in (5..=16).rev() {
        insert(&database, job, minutes, 1, Status::Skipped).await;
    }
    insert(&database, other, 30, 1, Status::Success).await;
    assert_eq!(pruned_until(&store).await, None);
    let keep = keep(&database);
    assert_eq!(store.prune(job, &keep, 4).await.unwrap(), 4);
    assert_eq!(pruned_until(&store).await, Some(database.now().time() - TimeDelta::minutes(13)));
    assert_eq!(store.prune(job, &keep, 4).await.unwrap(), 2);
    assert_eq!(store.prune(job, &keep, 4).await.unwrap(), 0);
    assert_eq!(remaining(&database, &store, job).await, [5, 6, 7, 8, 9, 10]);
    assert_eq!(pruned_until(&store).await, Some(database.now().time() - TimeDelta::minutes(11)));
    assert_eq!(remaining(&database, &store, other).await, [30], "others are not touched");
    // The newest stay at any age.
    let nothing_stays = Keep { since: Some(database.now()), ..keep };
    store.prune(job, &nothing_stays, 99).await.unwrap();
    assert_eq!(remaining(&database, &store, job).await, [5, 6]);
    // An old occurrence that has only just finished stays, because clients may still wait for it.
    let recent = Keep { finished_before: database.now() - TimeDelta::hours(1), ..keep };
    assert_eq!(store.prune(job, &Keep { newest: 1, ..recent }, 99).await.unwrap(), 0);
}

async fn rows_beyond_the_maximum_are_pruned_at_any_age(database: TenantDatabase) {
    let (store, job) = (database.store(), database.insert_job("a").await);
    for minutes in (2..=12).rev() {
        insert(&database, job, minutes, 1, Status::Skipped).await;
    }
    let too_much = Keep { per_job: Some(4), since: None, ..keep(&database) };
    assert_eq!(store.prune(job, &too_much, 99).await.unwrap(), 7);
    assert_eq!(remaining(&database, &store, job).await, [2, 3, 4, 5]);
    let forever = Keep { per_job: None, ..too_much };
    assert_eq!(store.prune(job, &forever, 99).await.unwrap(), 0, "neither age nor number");
    let more_than_there_are = Keep { per_job: Some(1000), ..too_much };
    assert_eq!(store.prune(job, &more_than_there_are, 99).await.unwrap(), 0);
}

async fn the_last_success_and_the_last_failure_stay(database: TenantDatabase) {
    let (store, job) = (database.store(), database.insert_job("a").await);
    let old = [
        (30, Status::Success),
        (29, Status::Failed),
        (28, Status::Success),
        (27, Status::Cancelled),
        (26, Status::Failed),
        (25, Status::Cancelled),
    ];
    for (minutes, status) in old {
        insert(&database, job, minutes, 1, status).await;
    }
    for minutes in [3, 2] {
        insert(&database, job, minutes, 1, Status::Cancelled).await;
    }
    for limit in [3, 4, 4, 4] {
        store.prune(job, &keep(&database), limit).await.unwrap();
    }
    assert_eq!(remaining(&database, &store, job).await, [2, 3, 26, 28]);
    let until = database.now() - TimeDelta::minutes(25);
    assert_eq!(
        pruned_until(&store).await,
        Some(until.time()),
        "`pruned_until` covers all earlier ones"
    );
}

async fn an_occurrence_is_pruned_with_all_its_attempts_or_not_at_all(database: TenantDatabase) {
    let (store, job) = (database.store(), database.insert_job("a").await);
    insert(&database, job, 30, 1, Status::Failed).await;
    insert(&database, job, 30, 2, Status::Scheduled).await; // a retry that has yet to come
    insert(&database, job, 29, 1, Status::Failed).await;
    insert(&database, job, 29, 2, Status::Failed).await;
    insert(&database, job, 28, 1, Status::Failed).await;
    for minutes in [3, 2] {
        insert(&database, job, minutes, 1, Status::Success).await;
    }
    assert_eq!(store.prune(job, &keep(&database), 99).await.unwrap(), 2);
    assert_eq!(remaining(&database, &store, job).await, [2, 3, 28, 30, 30]);
}

async fn the_history_of_a_deleted_job_is_pruned_too(database: TenantDatabase) {
    let (store, job) = (database.store(), database.insert_job("a").await);
    let other = database.insert_job("b").await;
    for minutes in (20..=30).rev() {
        insert(&database, job, minutes, 1, Status::Skipped).await;
    }
    insert(&database, other, 20, 1, Status::Skipped).await;
    assert!(store.delete_job(job).await.unwrap().is_applied());
    assert_eq!(store.next_history(JobId(0)).await.unwrap(), Some(job));
    assert_eq!(store.next_history(job).await.unwrap(), Some(other));
    assert_eq!(store.next_history(other).await.unwrap(), None);
    assert_eq!(store.prune(job, &keep(&database), 99).await.unwrap(), 9);
}

async fn the_audit_and_dead_workers_are_pruned(database: TenantDatabase) {
    let folder = Folder::new();
    let url = match database.is_sqlite() {
        true => folder.sqlite_database("control.db"),
        false => postgres_database().await,
    };
    migrate(&url, Schema::Control).await.unwrap();
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 4);
    let control = Control::new(&url, &connections).unwrap();
    let mut times = Vec::new();
    for n in 0..5 {
        let change = Change {
            actor: "cli:ann".to_owned(),
            action: format!("act {n}"),
            tenant: None,
            target: None,
            before: None,
            reason: None,
        };
        let now = database.advance(Duration::from_secs(60));
        control.insert_audit(&change, now).await.unwrap();
        let worker = Worker {
            name: format!("w{n}"),
            host: "h".to_owned(),
            pid: n,
            version: "1".to_owned(),
            queues: vec![],
            job_types: vec![],
            slots: 1,
            running: 0,
            started_at: now.time(),
            seen_at: now.time(),
            handlers: Vec::new(),
        };
        control.register_worker(&worker).await.unwrap();
        times.push(now);
    }
    assert_eq!(control.prune_audit(times[3], 2).await.unwrap(), 2);
    assert_eq!(control.prune_audit(times[3], 2).await.unwrap(), 1);
    assert_eq!(control.prune_audit(times[3], 2).await.unwrap(), 0);
    let entries = control.list_audit(&Default::default(), 99).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["act 4", "act 3"]);
    assert_eq!(control.prune_workers(times[4]).await.unwrap(), 4);
    let workers = control.list_workers(times[0]).await.unwrap();
    assert_eq!(workers.iter().map(|worker| worker.name.as_str()).collect::<Vec<_>>(), ["w4"]);
}
