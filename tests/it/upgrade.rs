//! Databases of schema version 3, before our names were prefixed, in the hands of today's programs.

use std::collections::BTreeMap;
use std::path::Path;

use polychron_tests::{Hook, Process, System, TestTenant};
use shared::database_url::DatabaseUrl;
use shared::execution::{Execution, Status};
use shared::store::{ExecutionFilter, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use testkit::{Folder, eventually, execute, postgres_database};

/// The hook is on this machine.
const ALLOW: (&str, &str) = ("POLYCHRON_HTTP_ALLOW", "127.0.0.1");
/// The lease of the consumer that died has ended long ago; this one is for the new consumer.
const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");

/// What becomes of the executions of the jobs that are no longer scheduled: trigger, attempt and end,
/// in the order of their ids. `long` was running when its consumer was killed.
const ENDS: &[(&str, &[&str])] = &[
    ("once", &["schedule 1 success", "manual 1 success", "manual 1 success"]),
    ("gives-up", &["schedule 1 failed"]),
    ("tries-again", &["schedule 1 failed", "retry 2 failed"]),
    ("long", &["schedule 1 failed", "rescue 2 success"]),
];

/// A dump of the fixture, with the URLs of this test.
fn dump(name: &str, urls: &BTreeMap<&str, DatabaseUrl>, hook: &Hook) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema-3");
    let text = std::fs::read_to_string(folder.join(name)).unwrap().replace("{hook}", &hook.url);
    urls.iter().fold(text, |text, (slug, url)| text.replace(&format!("{{{slug}}}"), url.expose()))
}

/// The lines of a table, whatever it is called.
async fn rows(url: &DatabaseUrl, table: &str, condition: &str) -> Vec<String> {
    if url.is_sqlite() {
        let mut connection = SqliteConnection::connect(url.expose()).await.unwrap();
        let columns = "id || ' ' || job_id || ' ' || status || ' ' || coalesce(started_at, '') || ' ' ||
                       coalesce(finished_at, '') || ' ' || coalesce(worker, '') || ' ' || coalesce(result, '')";
        let query = format!("SELECT {columns} FROM {table} WHERE {condition} ORDER BY id");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap()
    } else {
        let mut connection = PgConnection::connect(url.expose()).await.unwrap();
        let query = format!("SELECT CAST(e AS text) FROM {table} e WHERE {condition} ORDER BY id");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap()
    }
}

async fn executions(store: &Store, job: &str) -> Vec<Execution> {
    let filter = ExecutionFilter { job: Some(job.to_owned()), ..ExecutionFilter::default() };
    let mut rows = store.list_executions(&filter, 1000).await.unwrap();
    rows.reverse();
    rows
}

fn ends(rows: &[Execution]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {} {}", row.trigger, row.attempt, row.status)).collect()
}

/// What was open ends well, once each, and what was over stays as it was.
async fn end_well(acme: &TestTenant, globex: &TestTenant, hook: &Hook, over: &[String]) {
    eventually("nothing is open", || async {
        for (tenant, job) in [
            (acme, "once"),
            (acme, "long"),
            (acme, "tries-again"),
            (acme, "queued"),
            (globex, "once"),
        ] {
            let rows = executions(&tenant.store, job).await;
            if !rows.iter().all(|row| row.status.is_final()) {
                return None;
            }
        }
        Some(())
    })
    .await;
    for (job, expected) in ENDS {
        assert_eq!(ends(&executions(&acme.store, job).await), **expected, "{job}");
    }
    assert_eq!(
        ends(&executions(&globex.store, "once").await),
        ["schedule 1 success", "manual 1 success"]
    );
    let queued = executions(&acme.store, "queued").await;
    let ran: Vec<&Execution> = queued.iter().filter(|row| row.status == Status::Success).collect();
    assert_eq!(ran.len(), 2, "{:?}", ends(&queued));
    assert!(ran[0].finished_at <= ran[1].started_at, "one after the other");
    // `gives-up` failed before, and its notification's first attempt as well.
    eventually("both failures are notified, once each", || async {
        let calls = hook.calls();
        let failed = calls.iter().filter(|call| call.body["event"] == "failed");
        let mut jobs: Vec<&str> = failed.map(|call| call.body["job"].as_str().unwrap()).collect();
        jobs.sort_unstable();
        (jobs == ["gives-up", "tries-again"]).then_some(())
    })
    .await;
    let final_rows = "finished_at IS NOT NULL";
    let after = rows(&acme.url, "polychron_job_execution", final_rows).await;
    assert!(over.len() >= 5);
    assert!(over.iter().all(|row| after.contains(row)), "{over:#?}\n{after:#?}");
}

#[tokio::test]
async fn an_installation_on_postgresql_goes_on_where_a_former_version_was_killed() {
    let (control, hook) = (postgres_database().await, Hook::start(0).await);
    let urls = BTreeMap::from([
        ("acme", postgres_database().await),
        ("globex", postgres_database().await),
    ]);
    execute(&control, &dump("control.postgres.sql", &urls, &hook)).await;
    for (slug, url) in &urls {
        execute(url, &dump(&format!("{slug}.postgres.sql"), &urls, &hook)).await;
    }
    let over = rows(&urls["acme"], "public.job_execution", "finished_at IS NOT NULL").await;

    let environment = [("DATABASE_URL".to_owned(), control.expose().to_owned())];
    let mut migration = Process::start_with("polychron", &["migrate"], &environment);
    assert_eq!(migration.ended().await.code(), Some(0), "{}", migration.log());
    let system = System::over(control).await;
    let [acme, globex] = &system.tenants[..] else { panic!("acme and globex") };
    let (_producer, _consumer) = (system.producer(&[]), system.consumer(&[ALLOW, LEASE]));
    end_well(acme, globex, &hook, &over).await;
    system.check_occurrences().await;
}

#[tokio::test]
async fn an_installation_on_files_goes_on_where_a_former_version_was_killed() {
    let (folder, hook) = (Folder::new(), Hook::start(0).await);
    let data = folder.path("data");
    std::fs::create_dir_all(data.join("tenants")).unwrap();
    let file = |path: &str| DatabaseUrl::of_sqlite_file(&data.join(path));
    let control = file("control.db");
    let urls =
        BTreeMap::from([("acme", file("tenants/acme.db")), ("globex", file("tenants/globex.db"))]);
    let dumps = [("control", &control), ("acme", &urls["acme"]), ("globex", &urls["globex"])];
    for (name, url) in dumps {
        let path = format!("{}?mode=rwc", url.expose());
        let mut connection = SqliteConnection::connect(&path).await.unwrap();
        let text = dump(&format!("{name}.sqlite.sql"), &urls, &hook);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
    let over = rows(&urls["acme"], "job_execution", "finished_at IS NOT NULL").await;

    let arguments = ["up", "--no-dashboard", "--data", &data.display().to_string()];
    let settings = [("POLYCHRON_DIAGNOSTICS", "on"), ALLOW, LEASE];
    let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let up = Process::start_with("polychron", &arguments, &environment);
    up.logged("Polychron is up").await;
    let system = System::over(control).await;
    let [acme, globex] = &system.tenants[..] else { panic!("acme and globex") };
    end_well(acme, globex, &hook, &over).await;
    system.check_occurrences().await;
}
