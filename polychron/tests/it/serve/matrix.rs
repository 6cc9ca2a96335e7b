//! Every operation and page × every method × every kind of user: no user sees or changes what is not
//! theirs. The operations come from the server's own OpenAPI document, the pages from the table of
//! their routes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::write_private;

use super::server::{Response, Server};
use crate::console::{BOTH, Console};

/// The table of the pages.
const SCREENS: &str = include_str!("../../../../web/src/screen.rs");
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Is in the payload of each job of the tenant that some users must not see, and in its name.
const MARK: &str = "globex-mark-7f3a";
/// Paths that show the same to all users.
const OPEN: [&str; 3] = ["/login", "/style.css", "/live.js"];

struct Matrix {
    server: Server,
    _console: Console,
    /// Each user's token.
    tokens: Vec<(&'static str, String)>,
    /// Of each tenant.
    executions: [(&'static str, String); 2],
    requests: usize,
}

impl Matrix {
    async fn new() -> Matrix {
        let mut console = Console::with_tenant(BOTH[0]).await;
        let url = console.database("globex").await;
        console.add_tenant("globex", &url, &["--name", MARK]).succeeded();
        let mut entries = String::new();
        let mut tokens = Vec::new();
        for (name, role, tenant) in [
            ("root", "operator", None),
            ("vic", "viewer", None),
            ("sue", "operator", Some("acme")),
            ("ida", "viewer", Some("acme")),
            ("rev", "operator", None),
        ] {
            let tenant = tenant.map(|slug| ["--tenant", slug]).into_iter().flatten();
            let arguments: Vec<&str> = ["user", "new", name, "--role", role, "--token"]
                .into_iter()
                .chain(tenant)
                .collect();
            let made = console.run(&arguments).succeeded();
            tokens.push((name, made.stderr.split_whitespace().last().unwrap().to_owned()));
            entries += &made.stdout;
        }
        let file = console.folder.path("users.toml");
        write_private(&file, &entries);
        console.set("POLYCHRON_USERS", &file.display().to_string());
        console.run(&["user", "revoke", "rev"]).succeeded();
        let server = Server::start(&console);
        let executions = [("acme", String::new()), ("globex", String::new())];
        let mut it = Matrix { server, _console: console, tokens, executions, requests: 0 };
        for at in 0..2 {
            let slug = it.executions[at].0;
            let jobs = format!("/api/v1/tenants/{slug}/jobs");
            let payload = json!(if slug == "globex" { MARK } else { "acme" });
            let job = json!({"name": "a", "job_type": "noop", "schedule": {"every": "1h"}, "payload": payload});
            it.send("root", "POST", &jobs, &job.to_string()).ended(201);
            let run = it.send("root", "POST", &format!("{jobs}/a/run"), "{}").ended(201);
            it.executions[at].1 = run.value()["id"].as_str().unwrap().to_owned();
        }
        it
    }

    fn send(&mut self, user: &str, method: &str, path: &str, body: &str) -> Response {
        self.requests += 1;
        let kind = match path.starts_with("/api/") {
            true => "Content-Type: application/json",
            false => "Content-Type: application/x-www-form-urlencoded",
        };
        let token = self.tokens.iter().find(|(name, _)| *name == user).map(|(_, token)| token);
        let proof = match (user, token) {
            (_, Some(token)) => format!("Authorization: Bearer {token}"),
            // A session that the server does not know any more.
            ("expired", None) => format!("Cookie: polychron_session={}", "0".repeat(64)),
            _ => "X-Nothing: 1".to_owned(),
        };
        self.server.send(method, path, &[kind, &proof], body)
    }

    /// Every path, with the names of a tenant, its job and its execution.
    fn paths(&mut self) -> Vec<String> {
        let document = self.send("root", "GET", "/api/v1/openapi.json", "").ended(200).value();
        let operations = document["paths"].as_object().unwrap().keys().cloned();
        let pages = SCREENS.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let patterns: BTreeSet<String> = operations.chain(pages.map(str::to_owned)).collect();
        assert!(patterns.len() > 40, "{patterns:?}");
        let mut paths = BTreeSet::from(["/events".to_owned(), "/style.css".to_owned()]);
        for (slug, execution) in &self.executions {
            for pattern in &patterns {
                let path = pattern
                    .replace("{tenant}", slug)
                    .replace("{job}", "a")
                    .replace("{execution}", execution)
                    .replace("{id}", execution);
                let is_of_job = path.contains("/job") && !path.starts_with("/api/");
                paths.insert(if is_of_job { format!("{path}?name=a") } else { path });
            }
        }
        // A stream of events has no end to wait for.
        paths.into_iter().filter(|path| path != "/events").collect()
    }

    /// All rows that a change would show in.
    fn state(&mut self, slug: &str) -> Vec<Value> {
        ["", "/jobs", "/executions"]
            .iter()
            .map(|below| {
                let path = format!("/api/v1/tenants/{slug}{below}");
                self.send("root", "GET", &path, "").ended(200).value()
            })
            .collect()
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how much was tried is worth a line")]
async fn nobody_sees_or_changes_what_is_not_theirs() {
    let mut it = Matrix::new().await;
    let paths = it.paths();
    let before = (it.state("acme"), it.state("globex"));
    let tried = it.requests;
    for user in ["nobody", "expired", "rev", "vic", "ida"] {
        for (path, method) in paths.iter().flat_map(|path| METHODS.map(|method| (path, method))) {
            let answer = it.send(user, method, path, if method == "GET" { "" } else { "{}" });
            let (status, is_open) = (answer.status, OPEN.contains(&path.as_str()));
            let changes = !matches!(method, "GET" | "HEAD");
            let place = format!("{user}: {method} {path}: {answer:#?}");
            assert!(status < 500 || path.contains("/dead"), "{place}");
            if is_open || path == "/logout" {
                assert!(!answer.body.contains(MARK), "{place}");
                continue;
            }
            match user {
                "nobody" | "expired" | "rev" => {
                    assert!(matches!(status, 401 | 303), "{place}");
                    assert!(
                        status == 401 || answer.header("location").unwrap().starts_with("/login")
                    );
                    assert!(!answer.body.contains(MARK), "{place}");
                }
                _ if changes => assert_eq!(status, 403, "{place}"),
                "ida" if path.contains("/globex") => {
                    assert!(matches!(status, 404 | 405), "{place}")
                }
                _ => {}
            }
            assert!(user == "vic" || !answer.body.contains(MARK), "{place}");
        }
    }
    // An operator limited to a tenant: nothing of the other one.
    let mut foreign = 0;
    for (path, method) in paths.iter().flat_map(|path| METHODS.map(|method| (path, method))) {
        let answer = it.send("sue", method, path, if method == "GET" { "" } else { "{}" });
        let place = format!("sue: {method} {path}: {answer:#?}");
        assert!(answer.status < 500 || path.contains("/dead"), "{place}");
        assert!(!answer.body.contains(MARK), "{place}");
        if path.contains("/globex") {
            foreign += 1;
            // 403: a token has no forms; 400, 415, 422, 428: refused before the tenant is looked up.
            assert!((400..500).contains(&answer.status), "{place}");
        }
        if method == "POST" && path == "/api/v1/dead/empty" {
            assert_eq!(answer.status, 403, "{place}");
        }
    }
    assert!(foreign > 100, "{foreign}");
    let requests = it.requests - tried;
    println!("requests: {requests}, paths: {}", paths.len());
    assert!(requests > 2000, "{requests}");
    assert_eq!(it.state("globex"), before.1);
    // She changed what she may change at her own tenant; no user before her could.
    let audit = it.send("root", "GET", "/api/v1/audit?limit=500", "").ended(200).value();
    let actors: BTreeSet<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|change| change["actor"].as_str())
        .filter(|actor| actor.starts_with("web:"))
        .collect();
    assert_eq!(actors, BTreeSet::from(["web:root", "web:sue"]));
    assert_ne!(it.state("acme"), before.0);
}

/// Values that a number, a time, an id or a text may not have, or only just.
const EXTREMES: [&str; 24] = [
    "",
    "0",
    "-1",
    "1",
    "500",
    "501",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999",
    "NaN",
    "1e400",
    "%2B262142-12-31T23:59:59Z",
    "-262143-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00%2B23:59",
    "0000-00-00T00:00:00Z",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "%00",
    "%FF%FE",
    "%E2%80%AE%1B%5B2J",
    "%7B%22every%22%3A%221ns%22%7D",
];

#[tokio::test]
async fn no_parameter_of_any_route_is_too_much() {
    let mut it = Matrix::new().await;
    let document = it.send("root", "GET", "/api/v1/openapi.json", "").ended(200).value();
    let mut names = BTreeSet::from(
        ["name", "search", "to", "schedule", "timezone", "target"].map(str::to_owned),
    );
    for operation in document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
    {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let queries = parameters.filter(|parameter| parameter["in"] == "query");
        names.extend(queries.map(|parameter| parameter["name"].as_str().unwrap().to_owned()));
    }
    assert!(names.contains("from") && names.contains("before"), "{names:?}");
    let long = "9".repeat(6000);
    let tried = it.requests;
    // Paths with POST only have no query.
    let posts = ["suspend", "resume", "run", "pause", "delete", "cancel", "retry", "empty"];
    let is_read = |path: &String| {
        let last = path.split('?').next().and_then(|path| path.rsplit('/').next());
        let is_post = posts.contains(&last.unwrap_or_default());
        !path.contains("globex") && !path.contains("/dead") && !is_post
    };
    for path in it.paths().into_iter().filter(is_read) {
        let base = if path.contains('?') { format!("{path}&") } else { format!("{path}?") };
        for name in &names {
            for extreme in EXTREMES.iter().copied().chain([long.as_str()]) {
                // The preview reads nothing without a schedule.
                let with = if name == "expression" { "" } else { "&expression=*+*+*+*+*" };
                let address = format!("{base}{name}={extreme}{with}");
                let answer = it.send("root", "GET", &address, "");
                assert!(answer.status < 500, "{address}: {answer:#?}");
            }
        }
    }
    assert!(it.requests - tried > 5000, "{}", it.requests);
    // The server still works.
    it.send("root", "GET", "/api/v1/tenants", "").ended(200);
}
