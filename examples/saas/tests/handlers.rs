//! How to test handlers: a single one with a fake context, and a whole job with an engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use polychron_consumer::testing::FakeContext;
use polychron_embedded::testing::TestEngine;
use serde_json::json;
use shared::database_url::DatabaseUrl;
use shared::execution::Status;

/// A tenant's database with the product's tables.
async fn database(name: &str) -> DatabaseUrl {
    let file = std::env::temp_dir().join(format!("saas-test-{name}-{}.db", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let url = DatabaseUrl::of_sqlite_file(&file);
    saas::database::make_tables(url.expose()).await.unwrap();
    url
}

#[tokio::test]
async fn an_invoice_is_sent_once_even_if_it_is_retried() {
    let url = database("invoice").await;
    let payload = json!({"customer": "Ann", "cents": 1999});
    let noon = "2026-11-24T12:00:00Z".parse().unwrap();
    for (attempt, again) in [(1, false), (2, true)] {
        let context = FakeContext::new().database(url.clone());
        let context = context.scheduled_for(noon).attempt(attempt);
        let ran = context.run_type(&saas::handlers(), "send_invoice", payload.clone()).await;
        assert_eq!(ran.result()["again"], again);
    }
}

#[tokio::test]
async fn an_invoice_without_an_amount_is_not_retried() {
    let payload = json!({"customer": "Bob", "cents": 0});
    let ran = FakeContext::new().run_type(&saas::handlers(), "send_invoice", payload).await;
    assert_eq!(ran.failure().message, "Bob owes nothing: 0 cents");
    assert!(!ran.failure().retry);
    let payload = json!({"customer": "Bob", "cents": "much"});
    let ran = FakeContext::new().run_type(&saas::handlers(), "send_invoice", payload).await;
    assert!(ran.failure().message.starts_with("payload.cents cannot be read"));
}

#[tokio::test]
async fn an_import_reports_its_progress() {
    let url = database("import").await;
    let payload = json!({"orders": 30});
    let context = FakeContext::new().database(url);
    let ran = context.run_type(&saas::handlers(), "import_orders", payload).await;
    assert_eq!(ran.result(), 30);
    assert_eq!(ran.progress.unwrap(), json!({"done": 29, "total": 30, "message": "orders"}));
}

#[tokio::test]
async fn a_report_runs_as_a_whole_job() {
    let engine = TestEngine::start(saas::handlers()).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    let execution = acme.run("yearly_report", json!({"year": 2026})).await.unwrap();
    assert_eq!(execution.status, Status::Success);
    assert_eq!(execution.output.unwrap(), "the report of acme for 2026 is written\n");
}
