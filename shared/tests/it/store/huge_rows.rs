//! Rows larger than any that our schema allows, in tables whose constraints the tenant has dropped.

use shared::store::{ExecutionFilter, SentBefore};
use testkit::TenantDatabase;

use super::hostile_rows::drop_constraints;
use super::{claimed, default_queue, dispatched, terms};

/// A row of this size is not loaded at all; SQLite would load it into this process.
const HUGE: usize = 20_000_000;
/// A row of this size can be rewritten, but exceeds what its columns allow.
const LARGE: usize = 300_000;

on_both_stores! {
    a_huge_value_in_a_job_stops_no_other_job,
    a_large_value_quarantines_its_job,
    a_payload_that_is_too_long_fails_its_own_attempt,
    a_huge_value_in_an_execution_stops_no_other_execution,
}

/// The peak memory of this process so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// An expression for a text of this length, plain or as a JSON object.
fn text(database: &TenantDatabase, column: &str, bytes: usize) -> String {
    let text = match database.is_sqlite() {
        true => format!("replace(hex(zeroblob({})), '0', 'x')", bytes / 2),
        false => format!("repeat('x', {bytes})"),
    };
    match (column, database.is_sqlite()) {
        ("payload" | "schedule" | "notify" | "result" | "progress", true) => {
            format!("'{{\"x\":\"' || {text} || '\"}}'")
        }
        ("payload" | "schedule" | "notify" | "result" | "progress", false) => {
            format!("('{{\"x\":\"' || {text} || '\"}}')::jsonb")
        }
        _ => text,
    }
}

async fn a_huge_value_in_a_job_stops_no_other_job(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    drop_constraints(&database).await;
    let good = database.insert_due_job("good", now).await;
    let unarmed = database.insert_job("unarmed").await;
    for column in ["payload", "schedule", "job_type", "queue", "notify"] {
        let value = text(&database, column, HUGE);
        database.insert_due_job(column, now).await;
        database.insert_job(&format!("unarmed {column}")).await;
        let before = if database.is_sqlite() { None } else { Some(peak()) };
        let set = "UPDATE polychron_job SET";
        database.execute(&format!("{set} {column} = {value} WHERE name LIKE '%{column}'")).await;
        // PostgreSQL's edit trigger has cleared the time.
        let time = now.time().to_rfc3339();
        database.execute(&format!("{set} next_run_at = '{time}' WHERE name = '{column}'")).await;
        let summary = store.poll().await.unwrap();
        assert!(summary.has_unarmed && summary.next_due_at.is_some(), "{column}: {summary:?}");
        let due = store.read_due(now, now, &default_queue(), 99).await.unwrap();
        assert!(due.iter().any(|job| job.id == good), "{column}");
        assert!(due.iter().all(|job| job.schedule.len() < 4096 && job.queue.len() < 64));
        let found = store.read_unarmed(99).await.unwrap();
        assert!(found.iter().any(|job| job.id == unarmed), "{column}");
        let shown = store.list_jobs("", 99).await.unwrap();
        let shown = shown.iter().find(|job| job.name == column).unwrap();
        let said = shown.quarantined_reason.clone().unwrap_or_default();
        if column != "notify" {
            assert!(said.contains(&format!("{column} cannot be read: it is too long")), "{said}");
        }
        store.summarize_jobs().await.unwrap();
        store.list_quarantined(99).await.unwrap();
        if let Some(before) = before {
            assert!(peak() - before < 32, "{column}: {} MiB", peak() - before);
        }
        database.execute(&format!("DELETE FROM polychron_job WHERE name LIKE '%{column}'")).await;
    }
}

async fn a_large_value_quarantines_its_job(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    drop_constraints(&database).await;
    for column in ["schedule", "job_type", "queue", "overlap_policy"] {
        database.insert_due_job(column, now).await;
        let value = text(&database, column, LARGE);
        let set = format!("UPDATE polychron_job SET {column} = {value} WHERE name = '{column}'");
        database.execute(&set).await;
        assert!(store.read_due(now, now, &default_queue(), 99).await.unwrap().is_empty());
        assert!(store.read_unarmed(99).await.unwrap().is_empty());
        let reason =
            format!("SELECT quarantined_reason FROM polychron_job WHERE name = '{column}'");
        assert_eq!(
            database.text(&reason).await,
            format!("{column} cannot be read: it is too long")
        );
    }
}

async fn a_payload_that_is_too_long_fails_its_own_attempt(database: TenantDatabase) {
    let store = database.store();
    drop_constraints(&database).await;
    let (long, good) =
        (dispatched(&database, &store, "long").await, dispatched(&database, &store, "good").await);
    let value = text(&database, "payload", LARGE);
    database
        .execute(&format!("UPDATE polychron_job SET payload = {value} WHERE name = 'long'"))
        .await;
    let mut ids = [long, good];
    ids.sort();
    let claims = store.claim(&ids, &terms("w"), database.now()).await.unwrap();
    let payload = |id| claims.iter().find(|claim| claim.id == id).unwrap().payload.as_deref();
    assert_eq!((payload(long), payload(good)), (None, Some("{}")));
}

async fn a_huge_value_in_an_execution_stops_no_other_execution(database: TenantDatabase) {
    let store = database.store();
    drop_constraints(&database).await;
    let good = claimed(&database, &store, "good", "w").await.id;
    let bad = claimed(&database, &store, "bad", "w").await.id;
    let waits = dispatched(&database, &store, "waits").await;
    let later = database.advance(std::time::Duration::from_secs(7200));
    for column in
        ["output", "result", "error_message", "error_detail", "progress", "payload", "worker"]
    {
        let value = text(&database, column, HUGE);
        let set = format!("UPDATE polychron_job_execution SET {column}");
        database.execute(&format!("{set} = {value} WHERE id = '{bad}'")).await;
        store.poll().await.unwrap();
        let expired = store.read_expired(later, 9).await.unwrap();
        assert!(expired.iter().any(|row| row.id == good), "{column}");
        store.read_waiting(later, &default_queue(), 9).await.unwrap();
        let unclaimed = store
            .read_unclaimed(&SentBefore { dispatched: later, published: [later; 5] }, 9)
            .await
            .unwrap();
        assert!(unclaimed.iter().any(|row| row.ready.id == waits), "{column}");
        let shown = store.list_executions(&ExecutionFilter::default(), 9).await.unwrap();
        assert_eq!(shown.len(), 3, "{column}");
        let shown = format!("{:?}", store.find_execution(bad).await.unwrap().unwrap());
        assert!(shown.contains("(too long)") && shown.len() < 9000, "{column}: {shown:.300}");
        store.claim(&[bad, good], &terms("another"), later).await.unwrap();
        let restored = if column == "worker" { "'w'" } else { "NULL" };
        database.execute(&format!("{set} = {restored} WHERE id = '{bad}'")).await;
    }
}
