//! Every page, with names that try to break it.

use serde_json::json;
use shared::id::ExecutionId;
use testkit::eventually;

use super::server::{Response, Server};
use crate::console::{BOTH, Console};

/// A job's name that is HTML, closes attributes, and looks like a path.
const HOSTILE: &str = r#"<script>alert("1")</script>'/../&#;%2e"#;
/// The same in a URL.
const HOSTILE_IN_URL: &str =
    "%3Cscript%3Ealert%28%221%22%29%3C%2Fscript%3E%27%2F..%2F%26%23%3B%252e";

fn add(console: &Console, name: &str) {
    let add = ["job", "add", "acme", name, "--type", "<b>noop", "--every", "1h"];
    let payload = r#"{"<script>": "</pre><script>alert(2)</script>"}"#;
    console.run(&[&add[..], &["--payload", payload]].concat()).succeeded();
}

/// It is a complete page with a strict content security policy, and without injected markup.
#[track_caller]
fn is_sound(page: Response) -> Response {
    let page = page.ended(200);
    assert!(page.body.starts_with("<!DOCTYPE html>") && page.body.ends_with("</html>"));
    for broken in ["<script>", "<b>noop", "</pre><script", "value=\"<"] {
        assert!(!page.body.contains(broken), "{broken} stands in {}", page.body);
    }
    assert!(!page.body.contains(" style=") && !page.body.contains("onclick"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    page
}

#[tokio::test]
async fn every_page_shows_what_is_there_and_survives_hostile_names() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        add(&console, HOSTILE);
        add(&console, "..");
        let run = console.run(&["job", "run", "acme", HOSTILE, "-o", "json"]).succeeded().json();
        let id = run["id"].as_str().unwrap();
        console.run(&["execution", "cancel", "acme", id, "--reason", HOSTILE]).succeeded();
        let store = console.store("acme").await;
        let job = store.find_job(HOSTILE).await.unwrap().unwrap();
        assert!(
            store
                .quarantine(job.id, job.version, "<script>alert(3)</script>")
                .await
                .unwrap()
                .is_applied()
        );

        let server = Server::start(&console);
        let escaped = "&lt;script&gt;alert(&quot;1&quot;)";
        let execution = format!("/tenants/acme/executions/{id}");
        let job = format!("/tenants/acme/job?name={HOSTILE_IN_URL}");
        let schedule = format!(
            "/tenants/acme/job/schedule?name={HOSTILE_IN_URL}&schedule=%3Cscript%3E&timezone="
        );
        let filtered = format!("/tenants/acme/executions?job={HOSTILE_IN_URL}&status=cancelled");
        for (path, texts) in [
            ("/tenants/acme", &["active", escaped][..]),
            ("/tenants/acme/jobs", &[escaped, "every hour", "name=.."]),
            (&job, &[escaped, "Next runs", "cancelled", "&lt;b&gt;noop", "Run now", "Pause"]),
            ("/tenants/acme/job?name=..", &["<h1>..</h1>"]),
            (&schedule, &[escaped, "role=\"alert\"", "&lt;script&gt;"]),
            ("/tenants/acme/executions", &[escaped, "cancelled"]),
            (&filtered, &[escaped, "<option selected>cancelled"]),
            (&execution, &[escaped, "Timeline", "cancelled on request", "Run again", id]),
            ("/consumers", &["polychron-consumer", "default"]),
            ("/audit", &["job.add", "execution.cancel", escaped, "cli:"]),
        ] {
            is_sound(server.get(path)).shows(texts);
        }
        // The fleet cache follows a little later.
        let now = eventually("the fleet cache has the tenant and its job", || async {
            let now = is_sound(server.get("/"));
            now.body.contains("is quarantined").then_some(now)
        })
        .await;
        is_sound(server.get("/tenants")).shows(&["href=\"/tenants/acme\""]);
        now.shows(&["need attention", "is quarantined", "polychron job edit", "The last 24 hours"]);
    }
}

#[tokio::test]
async fn a_missing_object_is_an_error_page() {
    let console = Console::with_tenant(BOTH[0]).await;
    let server = Server::start(&console);
    for path in [
        "/nowhere",
        "/tenants/nobody",
        "/tenants/nobody/jobs",
        "/tenants/acme/job?name=none",
        "/tenants/acme/executions/x",
        "/tenants/acme/executions/01934b7e-0000-7000-8000-0000000000ff",
        "/tenants/acme/executions?job=none",
    ] {
        let page = server.get(path).ended(404);
        assert!(page.body.contains("<h1>Not Found</h1>"), "{page:#?}");
    }
    server.get("/tenants/acme/executions?status=%3Cb%3E").ended(400).shows(&["&lt;b&gt;"]);
    server.get("/tenants/acme/executions?before=x").ended(400);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_shown_with_its_reason() {
    let console = Console::new(BOTH[0]).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    std::fs::remove_file(console.folder.path("acme.db")).unwrap();
    let server = Server::start(&console);
    server.get("/tenants/acme").ended(200).shows(&["cannot be reached"]);
    server.get("/tenants/acme/jobs").ended(503).shows(&["cannot be reached"]);
    server.get("/api/v1/tenants/acme/jobs").shows_problem(503, "cannot be reached");
    eventually("it needs attention", || async {
        server.get("/").body.contains("cannot be reached").then_some(())
    })
    .await;
    assert_eq!(server.get("/api/v1/now").value()["problems"], json!(1));
}

#[tokio::test]
async fn a_long_history_is_walked_through_page_by_page() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        add(&console, "a");
        add(&console, "b");
        let store = console.store("acme").await;
        let random = shared::random::Random::system();
        let start = store.now().await.unwrap();
        for n in 0..120 {
            let name = if n % 3 == 0 { "a" } else { "b" };
            let at = start + chrono::TimeDelta::milliseconds(n);
            let id = ExecutionId::new(at.time(), &random);
            assert!(store.run_job(name, id, None, at).await.unwrap().is_applied());
            if n % 10 == 0 {
                store.cancel(id, at).await.unwrap();
            }
        }
        let server = Server::start(&console);
        for (filter, expected) in
            [("", 120), ("&job=a", 40), ("&status=cancelled", 12), ("&job=b&status=cancelled", 8)]
        {
            let mut ids: Vec<String> = Vec::new();
            let mut before = String::new();
            loop {
                let path = format!("/api/v1/tenants/acme/executions?limit=7{filter}{before}");
                let page = server.get(&path).ended(200).value();
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= 7);
                ids.extend(items.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
                match page["next"].as_str() {
                    Some(next) => before = format!("&before={next}"),
                    None => break,
                }
            }
            assert_eq!(ids.len(), expected, "{backend:?} {filter}");
            assert!(ids.is_sorted_by(|a, b| a > b), "newest first, each once");
        }
        let page = server.get("/tenants/acme/executions").ended(200);
        assert!(page.body.contains("Older executions"));
    }
}
