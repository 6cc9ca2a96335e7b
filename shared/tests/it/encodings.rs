//! Databases with another encoding than UTF-8, and bytes that are no UTF-8.

use serde_json::json;
use shared::execution::Status;
use shared::outcome::Outcome;
use shared::output::Report;
use shared::store::{ClaimTerms, Dispatch, Finish, Store};
use testkit::TenantDatabase;

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

fn terms() -> ClaimTerms {
    ClaimTerms {
        worker: "w".to_owned(),
        queues: vec!["default".to_owned()],
        lease: LEASE,
        default_timeout: LEASE,
    }
}

/// Runs each job by hand, and returns the names as the worker sees them, in order.
async fn run(database: &TenantDatabase, store: &Store, names: &[&str]) -> Vec<String> {
    let now = database.now();
    let mut released = Vec::new();
    for name in names {
        let id = database.execution_id();
        assert!(store.run_job(name, id, None, now).await.unwrap().is_applied());
        released.push(id);
    }
    store.read_waiting(now, &["default".to_owned()], 9).await.unwrap();
    let dispatch = Dispatch { released: released.clone(), ..Dispatch::default() };
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    let _ = store.dispatch(&dispatch, dispatch_no, now).await.unwrap();
    released.sort();
    let claims = store.claim(&released, &terms(), now).await.unwrap();
    let mut seen: Vec<String> = claims.iter().map(|claim| claim.name.clone()).collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn a_job_whose_text_is_not_utf8_stops_no_other() {
    let database = TenantDatabase::postgres_in("SQL_ASCII").await;
    let (store, now) = (database.store(), database.now());
    database.insert_due_job("good", now).await;
    let bad = database.insert_due_job("bad", now).await;
    let latin = "UPDATE polychron_job SET name = convert_from('\\x636166e9', 'SQL_ASCII') WHERE name = 'bad'";
    database.execute(latin).await;
    let due = store.read_due(now, now, &["default".to_owned()], 9).await.unwrap();
    assert_eq!(due.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["good"]);
    let quarantined = store.list_quarantined(9).await.unwrap();
    assert_eq!(quarantined.len(), 1, "{quarantined:?}");
    assert!(quarantined[0].quarantined_reason.contains("name cannot be read"), "{quarantined:?}");

    // Its runs on request, and those that it had before, go on.
    let id = database.execution_id();
    let insert = format!(
        "INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at)
         VALUES ('{id}', {}, now(), 'manual', 'scheduled', '2020-01-01')",
        bad.0
    );
    database.execute(&insert).await;
    let waiting = store.read_waiting(now, &["default".to_owned()], 9).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].name, "caf\u{FFFD}");
    assert_eq!(run(&database, &store, &["good"]).await, ["good"]);
}

#[tokio::test]
async fn a_success_is_recorded_although_the_database_lacks_its_characters() {
    for encoding in ["LATIN1", "WIN1252", "SQL_ASCII", "EUC_JP"] {
        let database = TenantDatabase::postgres_in(encoding).await;
        let (store, now) = (database.store(), database.now());
        database.insert_due_job("job", now).await;
        let id = database.execution_id();
        assert!(store.run_job("job", id, None, now).await.unwrap().is_applied());
        let dispatch = Dispatch { released: vec![id], ..Dispatch::default() };
        let dispatch_no = store.poll().await.unwrap().dispatch_no;
        let _ = store.dispatch(&dispatch, dispatch_no, now).await.unwrap();
        let claim = store.claim(&[id], &terms(), now).await.unwrap().remove(0);

        let report = Report {
            output: Some("\u{2713} fini".into()),
            progress: Some(json!({"message": "\u{2713}"})),
        };
        store.report(&[(id, report.clone())], "w").await.unwrap();
        let outcome = Outcome::Success(json!({"\u{2713}": ["\u{1f600}", 1]}));
        let end = Finish::of(&outcome, &claim.attempts(), (id, "w"), now, &database.random);
        store.finish(&[Finish { report, ..end }], now).await.unwrap();
        let row = store.find_execution(id).await.unwrap().unwrap();
        assert_eq!(row.status, Status::Success, "{encoding}");
        let kept = if encoding == "SQL_ASCII" { "\u{2713} fini" } else { "<U+2713> fini" };
        assert_eq!(row.output.as_deref(), Some(kept), "{encoding}");
        let result = row.result.unwrap().to_string();
        let kept = if encoding == "SQL_ASCII" { "\u{1f600}" } else { "<U+1F600>" };
        assert!(result.contains(kept), "{encoding}: {result}");
        let job = store.find_job("job").await.unwrap().unwrap();
        assert!(store.quarantine(job.id, job.version, "\u{2713} why").await.unwrap().is_applied());
    }
}
