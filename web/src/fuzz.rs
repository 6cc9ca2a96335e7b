//! Every route of the dashboard and the API, with requests that nobody's browser sends.
//!
//! An input is a request: its line, its headers, an empty line and its body. The guard's checks of where a
//! request comes from are satisfied, so that most inputs reach a route.

use axum::http::HeaderMap;
use operations::context::WakeBy;
use shared::clock::Clock;
use shared::config::Sources;
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::store::{Connections, Control, Schema, migrate};
use shared::tenant::{Tenant, TenantStatus};
use testkit::{Folder, TenantDatabase, fuzz};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::*;

const WORDS: [&str; 60] = [
    "GET ",
    "POST ",
    "PATCH ",
    "DELETE ",
    "HEAD ",
    "PUT ",
    "/api/v1/now",
    "/api/v1/consumers",
    "/api/v1/queues",
    "/api/v1/dead",
    "/api/v1/dead/empty",
    "/api/v1/audit",
    "/api/v1/schedule/preview",
    "/api/v1/tenants",
    "/api/v1/tenants/acme",
    "/api/v1/tenants/acme/jobs",
    "/api/v1/tenants/acme/jobs/report",
    "/api/v1/tenants/acme/executions",
    "/explain",
    "/next",
    "/pause",
    "/resume",
    "/run",
    "/cancel",
    "/retry",
    "/tenants/acme",
    "/tenants/acme/jobs",
    "/tenants/acme/job",
    "/tenants/acme/job/why",
    "/tenants/acme/job/schedule",
    "/tenants/acme/notify",
    "/tenants/acme/executions",
    "/audit",
    "/login",
    "?name=report",
    "&limit=",
    "&after=",
    "&before=",
    "&at=",
    "&from=",
    "&n=",
    "&expression=",
    "&timezone=",
    "&status=",
    "&tenant=acme",
    "9999-12-31T23:59:59Z",
    "%2B262142-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "%F0%9F",
    "%E2%80%AE",
    "+",
    "Europe/Berlin",
    "\r\nIf-Match: *",
    "\r\nContent-Type: application/json\r\n\r\n",
    "\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
    "{\"schedule\":",
    "{\"cron\":\"* * * * *\"}",
    "\"payload\":",
    "\"max_running\":",
    "form_key=",
];
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of a response: a page of items, and what surrounds it.
const RESPONSE_MAX: u64 = 4 << 20;
/// After this many requests, what they changed is undone.
const RESET_EVERY: u64 = 200;

#[test]
fn fuzz_routes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = Folder::in_memory();
    let (state, database) = runtime.block_on(fixture(&folder));
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(state.clone());
        tokio::spawn(serve_until(listener, routes, Limits::default(), CancellationToken::new()));
        address
    });
    let (mut count, key) = (0, state.access.visitor(&HeaderMap::new()).unwrap().form_key.unwrap());
    fuzz("routes", &WORDS, |input| {
        runtime.block_on(async {
            if count % RESET_EVERY == 0 {
                database.execute(RESET).await;
            }
            count += 1;
            let Some(request) = request(input, &key) else { return "no request".to_owned() };
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&request).await; // the server may have closed the connection
            let mut response = Vec::new();
            // A stream of events does not end by itself.
            let is_stream = String::from_utf8_lossy(&request).contains("/events");
            let patience = if is_stream { Duration::from_millis(50) } else { PATIENCE };
            let mut limited = (&mut stream).take(RESPONSE_MAX);
            let ended = timeout(patience, limited.read_to_end(&mut response)).await;
            assert!(is_stream || ended.is_ok(), "no end of the response");
            assert!((response.len() as u64) < RESPONSE_MAX, "{} bytes", response.len());
            let response = String::from_utf8_lossy(&response);
            let status = response.get(9..12).unwrap_or_default().to_owned();
            assert_ne!(status, "500", "{response}");
            assert_eq!(state.metrics.requests_panicked.get(), 0);
            let head = String::from_utf8_lossy(&request);
            let path: String =
                head.chars().take_while(|c| !matches!(c, '?' | '\r')).take(60).collect();
            let path = path.trim_end_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
            // Unknown paths are all alike.
            if status == "404" { "404".to_owned() } else { format!("{status} {path}") }
        })
    });
}

const RESET: &str = "DELETE FROM polychron_job_execution; DELETE FROM polychron_job WHERE name <> 'report';
    INSERT OR IGNORE INTO polychron_job (name, job_type, schedule) VALUES ('report', 'noop', '{\"every\":\"1m\"}')";

/// The request, so that its body is as long as it says and the connection ends with it. None without a line.
fn request(input: &[u8], key: &str) -> Option<Vec<u8>> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = match end {
        Some(end) => (&input[..end], &input[end + 4..]),
        None => (input, &b""[..]),
    };
    // As a page of ours holds it.
    let body = match body.strip_prefix(b"form_key=x") {
        Some(rest) => [b"form_key=", key.as_bytes(), rest].concat(),
        None => body.to_vec(),
    };
    let head: Vec<u8> = head.iter().copied().filter(|byte| *byte != 0).collect();
    let (line, headers) = match head.windows(2).position(|two| two == b"\r\n") {
        Some(end) => (&head[..end], &head[end..]),
        None => (&head[..], &b""[..]),
    };
    let method = line.split(|byte| *byte == b' ').next().filter(|method| !method.is_empty())?;
    let target = line.get(method.len() + 1..).unwrap_or_default();
    // What cannot be part of a target would end the line.
    let target: String = target
        .iter()
        .map(|byte| match byte {
            b'!'..=b'~' => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let ours = format!(
        "\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let method = String::from_utf8_lossy(method);
    Some(
        [format!("{method} {target} HTTP/1.1").as_bytes(), headers, ours.as_bytes(), &body]
            .concat(),
    )
}

/// A server without users over one tenant.
async fn fixture(folder: &Folder) -> (Arc<AppState>, TenantDatabase) {
    let connections = Connections::new(Clock::System, 4);
    let url = folder.sqlite_database("control.db");
    migrate(&url, Schema::Control).await.unwrap();
    let control = Control::new(&url, &connections).unwrap();
    let database = TenantDatabase::sqlite().await;
    let now = Clock::System.wall_time();
    let tenant = Tenant {
        id: database.tenant,
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        status: TenantStatus::Active,
        database_url: database.url.clone(),
        schema: None,
        max_running: None,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&tenant).await.unwrap();
    let config = Config::read(&Sources::default(), &[]).unwrap();
    let metrics = Metrics::new(Clock::System);
    let access = Access::new(&config, Clock::System, Random::system(), metrics.clone()).unwrap();
    let (publisher, _) = Queue::Memory(MemoryBroker::new()).publisher("test", &[]);
    let context = Context::new(config, connections, control, WakeBy::Publisher(publisher));
    let (fleet, events) = (FleetCache::new(Clock::System), events::Events::default());
    let in_flight = InFlight::default();
    (Arc::new(AppState { context, access, fleet, events, in_flight, metrics }), database)
}
