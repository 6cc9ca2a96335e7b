//! The dispatch: every occurrence is dispatched once, even if others dispatch, edit or delete
//! concurrently.

use std::collections::HashSet;

use shared::execution::{ErrorKind, Status};
use shared::id::ExecutionId;
use shared::store::{Advance, Dispatch, Dispatched, NewExecution, Store};
use testkit::TenantDatabase;

use super::{default_queue, dispatch, dispatched, occurrence, step};

on_both_stores! {
    an_occurrence_has_one_row,
    a_stale_dispatch_does_nothing,
    an_edited_job_is_not_dispatched,
    a_job_with_a_changed_time_is_not_dispatched,
    a_time_written_by_hand_is_still_recognised,
    the_last_occurrence_disables_the_job_without_an_edit,
    a_skipped_row_is_final,
    racing_dispatchers_dispatch_every_occurrence_once,
    a_released_row_is_dispatched_once,
    an_empty_dispatch_makes_older_polls_stale,
}

async fn an_occurrence_has_one_row(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_due_job("a", now).await;
    let twice = vec![occurrence(&database, job, now), occurrence(&database, job, now)];
    let first = Dispatch { advances: vec![step(job, now)], executions: twice, released: vec![] };
    assert_eq!(dispatch(&store, &first, now).await.len(), 1);
    // Setting the job back makes the same occurrence due again.
    let due = now.time().to_rfc3339();
    database.execute(&format!("UPDATE polychron_job SET next_run_at = '{due}'")).await;
    let executions = vec![occurrence(&database, job, now)];
    let again = Dispatch { advances: vec![step(job, now)], executions, released: vec![] };
    assert_eq!(dispatch(&store, &again, now).await, []);
    assert_eq!(
        database.text("SELECT CAST(count(*) AS text) FROM polychron_job_execution").await,
        "1"
    );
}

async fn a_stale_dispatch_does_nothing(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_due_job("a", now).await;
    let executions = vec![occurrence(&database, job, now)];
    let one = Dispatch { advances: vec![step(job, now)], executions, released: vec![] };
    let read = store.poll().await.unwrap().dispatch_no;
    for other in [read - 1, read + 1] {
        assert_eq!(store.dispatch(&one, other, now).await.unwrap(), Dispatched::Stale);
    }
    assert_eq!(store.read_due(now, now, &default_queue(), 9).await.unwrap().len(), 1);
    assert!(
        matches!(store.dispatch(&one, read, now).await.unwrap(), Dispatched::Done(ids) if ids.len() == 1)
    );
    assert_eq!(store.dispatch(&one, read, now).await.unwrap(), Dispatched::Stale);
    assert_eq!(store.poll().await.unwrap().dispatch_no, read + 1);
    assert_eq!(store.read_due(now, now, &default_queue(), 9).await.unwrap().len(), 0);
}

async fn an_edited_job_is_not_dispatched(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let edited = database.insert_due_job("edited", now).await;
    let other = database.insert_due_job("other", now).await;
    let executions: Vec<NewExecution> =
        [edited, other].map(|job| occurrence(&database, job, now)).into();
    let expected = executions[1].id;
    let advances = vec![step(edited, now), step(other, now)];
    database
        .execute(r#"UPDATE polychron_job SET schedule = '{"every":"2m"}' WHERE name = 'edited'"#)
        .await;
    let ids = dispatch(&store, &Dispatch { advances, executions, released: vec![] }, now).await;
    assert_eq!(ids, [expected]);
    let job = store.find_job("edited").await.unwrap().unwrap();
    assert_eq!((job.version, job.next_run_at), (2, None));
    let job = store.find_job("other").await.unwrap().unwrap();
    assert_eq!((job.version, job.next_run_at), (1, Some(now.time() + super::MINUTE)));
    assert_eq!(job.schedule_since, Some(now.time()));
}

async fn a_job_with_a_changed_time_is_not_dispatched(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_due_job("a", now).await;
    let earlier = step(job, now - super::MINUTE);
    let executions = vec![occurrence(&database, job, now)];
    let moved = Dispatch { advances: vec![earlier], executions, released: vec![] };
    assert_eq!(dispatch(&store, &moved, now).await, []);
    assert_eq!(store.find_job("a").await.unwrap().unwrap().next_run_at, Some(now.time()));
}

/// SQLite stores times as text, and a user may write the same instant in several ways.
async fn a_time_written_by_hand_is_still_recognised(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    for fraction in ["", ".0", ".000", ".5", ".500", ".1234", ".123456", ".000001"] {
        let name = format!("at{fraction}");
        let written = format!("2026-11-24T11:00:00{fraction}+00:00");
        database.insert_job_with(&name, &format!("next_run_at = '{written}'")).await;
        let due = store.read_due(now, now, &default_queue(), 9).await.unwrap().remove(0);
        assert_eq!(due.next_run_at, written.parse::<shared::clock::Time>().unwrap());
        let executions = vec![occurrence(&database, due.id, due.next_run_at)];
        let next_run_at = Some(now.time() + super::MINUTE);
        let advances = vec![Advance { next_run_at, ..step(due.id, due.next_run_at) }];
        let ids = dispatch(&store, &Dispatch { advances, executions, released: vec![] }, now).await;
        assert_eq!(ids.len(), 1, "{written}");
    }
}

async fn the_last_occurrence_disables_the_job_without_an_edit(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_due_job("once", now).await;
    let advances = vec![Advance { next_run_at: None, ..step(job, now) }];
    let executions = vec![occurrence(&database, job, now)];
    let ids = dispatch(&store, &Dispatch { advances, executions, released: vec![] }, now).await;
    assert_eq!(ids.len(), 1);
    let job = store.find_job("once").await.unwrap().unwrap();
    assert!(!job.is_enabled && job.next_run_at.is_none());
    assert_eq!((job.version, job.schedule_since), (1, Some(now.time())));
    let summary = store.poll().await.unwrap();
    assert!(!summary.has_unarmed && summary.next_due_at.is_none());
    // Enabling it again is an edit.
    database.execute("UPDATE polychron_job SET is_enabled = true WHERE name = 'once'").await;
    let job = store.find_job("once").await.unwrap().unwrap();
    assert_eq!((job.version, job.schedule_since), (2, None));
    assert!(store.poll().await.unwrap().has_unarmed);
}

async fn a_skipped_row_is_final(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_due_job("a", now).await;
    let skipped = NewExecution {
        status: Status::Skipped,
        stands_for: 7,
        error_kind: Some(ErrorKind::Misfire),
        error_message: Some("too late".to_owned()),
        ..occurrence(&database, job, now)
    };
    let id = skipped.id;
    let one =
        Dispatch { advances: vec![step(job, now)], executions: vec![skipped], released: vec![] };
    assert_eq!(dispatch(&store, &one, now).await, []);
    let row = store.find_execution(id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.finished_at, row.stands_for),
        (Status::Skipped, Some(now.time()), 7)
    );
    assert_eq!(row.error_kind, Some(ErrorKind::Misfire));
    let release = Dispatch { released: vec![id], ..Dispatch::default() };
    assert_eq!(dispatch(&store, &release, now).await, []);
    assert_eq!(store.claim(&[id], &super::terms("w"), now).await.unwrap().len(), 0);
    assert_eq!(store.find_execution(id).await.unwrap().unwrap(), row);
}

async fn racing_dispatchers_dispatch_every_occurrence_once(database: TenantDatabase) {
    let now = database.now();
    let due = now.time().to_rfc3339();
    let insert = |n| {
        format!(
            "INSERT INTO polychron_job (name, job_type, schedule, next_run_at)
             VALUES ('job {n}', 'noop', '{{\"every\":\"1m\"}}', '{due}');"
        )
    };
    database.execute(&(0..200).map(insert).collect::<String>()).await;
    let (one, other) = (database.store(), database.store());
    let (ours, theirs) = tokio::join!(drain(&database, &one), drain(&database, &other));
    let all: HashSet<&ExecutionId> = ours.iter().chain(&theirs).collect();
    assert_eq!((all.len(), ours.len() + theirs.len()), (200, 200));
    let rows = "SELECT CAST(count(*) AS text) || ' ' || count(DISTINCT job_id) FROM polychron_job_execution";
    assert_eq!(database.text(rows).await, "200 200");
    let advanced =
        format!("SELECT CAST(count(*) AS text) FROM polychron_job WHERE next_run_at > '{due}'");
    assert_eq!(database.text(&advanced).await, "200");
    let summary = one.poll().await.unwrap();
    assert_eq!((summary.dispatched, summary.dispatch_no), (200, 20));
}

/// Dispatches ten due jobs at a time until there are none. Returns the rows to publish.
async fn drain(database: &TenantDatabase, store: &Store) -> Vec<ExecutionId> {
    let now = database.now();
    let mut all = Vec::new();
    loop {
        let dispatch_no = store.poll().await.unwrap().dispatch_no;
        let due = store.read_due(now, now, &default_queue(), 10).await.unwrap();
        if due.is_empty() {
            return all;
        }
        let advances = due.iter().map(|job| step(job.id, job.next_run_at)).collect();
        let executions = due.iter().map(|job| occurrence(database, job.id, now)).collect();
        let batch = Dispatch { advances, executions, released: vec![] };
        if let Dispatched::Done(ids) = store.dispatch(&batch, dispatch_no, now).await.unwrap() {
            all.extend(ids);
        }
    }
}

async fn a_released_row_is_dispatched_once(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    database.insert_job("a").await;
    let (id, unwanted) = (database.execution_id(), database.execution_id());
    assert!(store.run_job("a", id, None, now).await.unwrap().is_applied());
    assert!(store.run_job("a", unwanted, None, now + super::MINUTE).await.unwrap().is_applied());
    assert!(!store.run_job("b", database.execution_id(), None, now).await.unwrap().is_applied());
    database
        .execute(&format!(
            "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{unwanted}'"
        ))
        .await;
    let release = Dispatch { released: vec![id, unwanted], ..Dispatch::default() };
    assert_eq!(dispatch(&store, &release, now).await, [id]);
    assert_eq!(dispatch(&store, &release, now).await, []);
    let row = store.find_execution(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.dispatched_at), (Status::Dispatched, Some(now.time())));
}

async fn an_empty_dispatch_makes_older_polls_stale(database: TenantDatabase) {
    let store = database.store();
    dispatched(&database, &store, "a").await;
    let before = store.poll().await.unwrap().dispatch_no;
    assert_eq!(dispatch(&store, &Dispatch::default(), database.now()).await, []);
    assert_eq!(store.poll().await.unwrap().dispatch_no, before + 1);
}
