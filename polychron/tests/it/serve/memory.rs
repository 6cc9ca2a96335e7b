//! Answers as large as a tenant can make them, and clients that do not read them.

use std::io::Read as _;

use serde_json::json;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use testkit::eventually;

use super::server::Server;
use crate::console::{BOTH, Console};

/// What `serve` may need for answers that nobody reads, in KiB: 32 pages of 2 MiB of one user, and as much
/// again while they are made.
const GROWTH_MAX: u64 = 160 << 10;
/// The most bytes of a page.
const PAGE_MAX: usize = 3 << 20;

#[tokio::test]
async fn slow_readers_of_large_answers_do_not_exhaust_the_memory() {
    const JOBS: usize = 400;
    const READERS: usize = 60;
    let console = Console::with_tenant(BOTH[0]).await;
    let mut tenant = tenant(&console).await;
    let add = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {JOBS})
         INSERT INTO polychron_job (name, job_type, schedule, payload)
         SELECT printf('job %03d', n), 'noop', '{{\"every\":\"1h\"}}', printf('\"%.*c\"', 60000, 'x') FROM n"
    );
    tenant.execute(sqlx::AssertSqlSafe(add)).await.unwrap();
    let server = Server::start(&console);
    server.get("/api/v1/tenants/acme/jobs?limit=1").ended(200);
    let before = server.peak_memory();
    let paths = ["/api/v1/tenants/acme/jobs?limit=500", "/tenants/acme/job?name=job%20001"];
    let readers: Vec<_> = (0..READERS).map(|n| server.open("GET", paths[n % 2], &[], "")).collect();
    for mut reader in &readers {
        let mut start = [0; 12];
        reader.read_exact(&mut start).unwrap();
        let start = String::from_utf8_lossy(&start);
        assert!(start.ends_with(" 200") || start.ends_with(" 429"), "{start}");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < GROWTH_MAX, "{grown} KiB");
    drop(readers);
    server.get("/tenants/acme").ended(200);
}

#[tokio::test]
async fn pages_of_the_largest_values_are_bounded() {
    let console = Console::with_tenant(BOTH[0]).await;
    let server = Server::start(&console);
    // Indented, each value would take a line of 250 characters.
    let mut nested = json!(vec![1; 32_000]);
    for _ in 0..120 {
        nested = json!([nested]);
    }
    let job =
        json!({"name": "deep", "job_type": "noop", "schedule": {"every": "1h"}, "payload": nested});
    server.json("POST", "/api/v1/tenants/acme/jobs", &job).ended(201);
    let run = server.json("POST", "/api/v1/tenants/acme/jobs/deep/run", &json!({})).ended(201);
    let id = run.value()["id"].as_str().unwrap().to_owned();
    // Each character is escaped by six.
    let text = |bytes: usize| format!("CAST(printf('%.*c', {bytes}, char(27)) AS TEXT)");
    let mut tenant = tenant(&console).await;
    let fail = format!(
        "UPDATE polychron_job_execution SET status = 'failed', finished_at = scheduled_for, error_kind = 'handler',
             error_message = {}, error_detail = {}, output = {}, result = (SELECT payload FROM polychron_job);
         WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 100)
         INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, attempt, finished_at,
             error_kind, error_message)
         SELECT printf('019ab8e1-9600-7000-8000-%012d', n), job_id, scheduled_for, trigger, status, n, finished_at,
             error_kind, error_message
         FROM polychron_job_execution, n;",
        text(8192),
        text(65_536),
        text(16_384)
    );
    tenant.execute(sqlx::AssertSqlSafe(fail)).await.unwrap();
    for path in [
        format!("/tenants/acme/executions/{id}"),
        "/tenants/acme/executions".to_owned(),
        "/tenants/acme/job?name=deep".to_owned(),
        "/tenants/acme/job/why?name=deep".to_owned(),
        "/tenants/acme/jobs".to_owned(),
        "/tenants/acme".to_owned(),
        "/".to_owned(),
    ] {
        let page = server.get(&path).ended(200);
        assert!(page.body.len() < PAGE_MAX, "{path}: {} bytes", page.body.len());
    }
    let attempts = server.get(&format!("/tenants/acme/executions/{id}")).body;
    assert!(attempts.contains("All attempts at this occurrence"));
}

/// A session at the tenant's database.
#[tokio::test]
async fn a_flood_of_one_tenants_failures_hides_no_other_tenants() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.add_tenant("beta", &console.database("beta").await, &[]).succeeded();
    for name in ["acme", "beta"] {
        let file = console.folder.path(&format!("{name}.db"));
        let url = format!("sqlite://{}", file.display());
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        database.execute("DROP TABLE polychron_job_execution").await.unwrap();
    }
    let log = console.folder.path("log");
    let server = Server::logging_to(console.command(&["serve", "--listen", "127.0.0.1:0"]), &log);
    for _ in 0..70 {
        server.get("/api/v1/tenants/acme/executions").ended(500);
    }
    server.get("/api/v1/tenants/beta/executions").ended(500);
    let lines = eventually("beta's failure is logged", || async {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text.lines().filter(|line| line.contains("a request failed"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.iter().any(|line| line.contains("tenant=\"beta\"")).then_some(lines)
    })
    .await;
    let of_acme = lines.iter().filter(|line| line.contains("tenant=\"acme\"")).count();
    assert_eq!(of_acme, 60, "the rest are counted in one line");
}

async fn tenant(console: &Console) -> SqliteConnection {
    let url = console.folder.sqlite_database("acme.db");
    SqliteConnection::connect(url.expose()).await.unwrap()
}
