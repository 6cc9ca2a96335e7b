//! A tenant owns its tables: it may drop every constraint and trigger, and write anything. That affects the
//! row in question, but never a whole poll or page, nor another row.

use shared::clock::Time;
use shared::store::ExecutionFilter;
use testkit::TenantDatabase;

use super::{claimed, default_queue, failure};

on_both_stores! {
    a_job_that_cannot_be_read_is_quarantined_and_leaves_its_neighbours_alone,
    a_row_that_cannot_be_read_is_shown_and_stops_no_poll,
    numbers_at_their_ends_are_no_overflow,
}

/// Times that neither database refuses once its constraints are gone. SQLite takes any text.
fn far_times(database: &TenantDatabase) -> &'static [&'static str] {
    match database.is_sqlite() {
        true => &["+262142-12-31T23:59:59+00:00", "-262143-01-01T00:00:00+00:00", "-", "now"],
        false => {
            &["infinity", "-infinity", "294276-12-31 23:59:59+00", "4713-01-01 00:00:00+00 BC"]
        }
    }
}

/// Drops what keeps the tables' values within their bounds.
pub(super) async fn drop_constraints(database: &TenantDatabase) {
    if database.is_sqlite() {
        let list = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
        for trigger in database.texts(list).await {
            database.execute(&format!("DROP TRIGGER \"{trigger}\"")).await;
        }
        database.execute("PRAGMA ignore_check_constraints = ON").await;
        return;
    }
    let list = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
                WHERE contype = 'c' AND conrelid::regclass::text LIKE 'polychron_job%'
                UNION ALL
                SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
                WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'polychron_job%'";
    for drop in database.texts(list).await {
        database.execute(&drop).await;
    }
}

async fn a_job_that_cannot_be_read_is_quarantined_and_leaves_its_neighbours_alone(
    database: TenantDatabase,
) {
    let store = database.store();
    let now = database.now();
    drop_constraints(&database).await;
    let good = database.insert_due_job("good", now).await;
    database.insert_due_job("policy", now).await;
    database
        .execute("UPDATE polychron_job SET overlap_policy = 'bogus' WHERE name = 'policy'")
        .await;
    let past = if database.is_sqlite() { "+262142-12-31T23:59:59+00:00" } else { "-infinity" };
    database.insert_job_with("time", &format!("next_run_at = '{past}'")).await;
    let summary = store.poll().await.unwrap();
    assert!(summary.next_due_at.is_some_and(|due_at| due_at <= now), "{summary:?}");
    let due = store.read_due(now, now, &default_queue(), 9).await.unwrap();
    assert_eq!(due.iter().map(|job| job.id).collect::<Vec<_>>(), [good]);
    for (name, column) in [("policy", "overlap_policy"), ("time", "next_run_at")] {
        let reason = format!("SELECT quarantined_reason FROM polychron_job WHERE name = '{name}'");
        let reason = database.text(&reason).await;
        assert!(reason.starts_with(&format!("{column} cannot be read: ")), "{reason}");
    }
    assert_eq!(
        store.poll().await.unwrap().next_due_at,
        Some(now.time()),
        "only the good one is left"
    );
}

async fn a_row_that_cannot_be_read_is_shown_and_stops_no_poll(database: TenantDatabase) {
    let store = database.store();
    let id = claimed(&database, &store, "a", "w").await.id;
    drop_constraints(&database).await;
    let filter = ExecutionFilter::default();
    for time in far_times(&database) {
        for column in ["started_at", "scheduled_for", "lease_until", "deadline_at", "dispatched_at"]
        {
            database
                .execute(&format!("UPDATE polychron_job_execution SET {column} = '{time}'"))
                .await;
            let shown = store.list_executions(&filter, 9).await.unwrap().remove(0);
            assert!(shown.scheduled_for >= Time::MIN && shown.scheduled_for <= Time::MAX);
            store.poll().await.unwrap();
            store.read_expired(database.now(), 9).await.unwrap();
        }
        database
            .execute(&format!(
                "UPDATE polychron_job SET created_at = '{time}', late_since = '{time}'"
            ))
            .await;
        assert_eq!(store.list_jobs("", 9).await.unwrap().len(), 1);
    }
    database
        .execute("UPDATE polychron_job_execution SET error_kind = 'bogus', trigger = 'x'")
        .await;
    database.execute("UPDATE polychron_job SET misfire_policy = 'bogus', payload = '[1]'").await;
    let shown = store.list_executions(&filter, 9).await.unwrap().remove(0);
    assert_eq!(shown.id, id);
    let said = shown.error_message.unwrap();
    assert!(said.starts_with("this row's trigger cannot be read: `x` is not one of "), "{said}");
    let job = store.list_jobs("", 9).await.unwrap().remove(0);
    let said = job.quarantined_reason.unwrap();
    assert!(said.starts_with("this row's misfire_policy cannot be read: "), "{said}");
}

async fn numbers_at_their_ends_are_no_overflow(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    drop_constraints(&database).await;
    for number in [i32::MIN, i32::MAX] {
        database
            .execute(&format!(
                "UPDATE polychron_job SET max_attempts = {number}, retry_base_seconds = {number}, \
                 timeout_seconds = NULL, misfire_grace_seconds = {number}"
            ))
            .await;
        database.execute(&format!("UPDATE polychron_job_execution SET attempt = {number}")).await;
        let now = database.now();
        let claims = store.claim(&[claim.id], &super::terms("w"), now).await.unwrap();
        for claim in claims {
            let end = super::end(&database, &claim, "w", &failure());
            let _ = store.finish(&[end], now).await;
        }
    }
}
