//! Our tables beside an application's tables, which have the names that ours used to have.

use polychron_tests::{System, TestTenant};
use shared::execution::Status;
use shared::store::ExecutionFilter;
use testkit::{eventually, execute, postgres_database};

/// The application's tables.
const APPLICATION: &str = "CREATE TABLE job (title text); INSERT INTO job VALUES ('clerk');
     CREATE TABLE job_execution (note text); INSERT INTO job_execution VALUES ('hired')";

/// How the executions of a job end, oldest first.
async fn statuses(tenant: &TestTenant, job: &str) -> Vec<Status> {
    let filter = ExecutionFilter { job: Some(job.to_owned()), ..ExecutionFilter::default() };
    let mut rows = tenant.store.list_executions(&filter, 100).await.unwrap();
    rows.reverse();
    rows.iter().map(|row| row.status).collect()
}

#[tokio::test]
async fn tenants_run_beside_an_application_in_the_default_schema_and_in_their_own() {
    let empty = System::new(0).await;
    let mut urls = Vec::new();
    for (slug, arguments) in [("default", &[][..]), ("own", &["--schema", "polychron"][..])] {
        let url = postgres_database().await;
        execute(&url, APPLICATION).await;
        let arguments = [&["tenant", "add", slug], arguments].concat();
        let settings = [("TENANT_DATABASE_URL", url.expose())];
        let mut added = empty.program("polychron", &arguments, &settings);
        assert_eq!(added.ended().await.code(), Some(0), "{}", added.log());
        urls.push((url, if slug == "own" { "polychron" } else { "public" }));
    }
    let system = System::over(empty.control_url().parse().unwrap()).await;
    let settings = [("POLYCHRON_POLL_INTERVAL", "1s")];
    let (_producer, _consumer) = (system.producer(&settings), system.consumer(&[]));
    for (tenant, (url, schema)) in system.tenants.iter().zip(&urls) {
        // As the application does it: in a session of its own, with its own search path.
        execute(
            url,
            &format!(
                "INSERT INTO {schema}.polychron_job (name, job_type, retry_base_seconds, schedule) VALUES
                 ('once', 'noop', 10, '{{\"at\": \"2026-01-01T00:00:00Z\"}}'),
                 ('fails', 'fail', 3600, '{{\"at\": \"2026-01-01T00:00:00Z\"}}'),
                 ('edited', 'noop', 10, '{{\"at\": \"2126-01-01T00:00:00Z\"}}')"
            ),
        )
        .await;
        eventually("it runs to success", || async {
            (statuses(tenant, "once").await == [Status::Success]).then_some(())
        })
        .await;
        let edit = "UPDATE {}.polychron_job SET schedule = '{\"at\": \"2026-01-01T00:00:00Z\"}' WHERE name = 'edited'";
        execute(url, &edit.replacen("{}", schema, 1)).await;
        eventually("an edit is heeded", || async {
            (statuses(tenant, "edited").await == [Status::Success]).then_some(())
        })
        .await;
        // Full jitter may choose a short delay; then the retry after it waits.
        eventually("a retry waits", || async {
            statuses(tenant, "fails").await.contains(&Status::Scheduled).then_some(())
        })
        .await;
        let rows = tenant.store.list_executions(&ExecutionFilter::default(), 100).await.unwrap();
        execute(url, &format!("DELETE FROM {schema}.polychron_job WHERE name = 'fails'")).await;
        let retry = rows.iter().find(|row| row.status == Status::Scheduled).unwrap().id;
        let row = tenant.store.find_execution(retry).await.unwrap().unwrap();
        assert_eq!(row.status, Status::Cancelled, "the trigger ends what was open");
        let untouched = "DO $$ BEGIN ASSERT (SELECT count(*) FROM public.job) = 1
                         AND (SELECT note FROM public.job_execution) = 'hired'; END $$";
        execute(url, untouched).await;
    }
}
