//! Who gets in, and what they may do.

use serde_json::json;
use testkit::{eventually, write_private};

use super::server::{Response, Server};
use crate::console::{BOTH, Console};

const PASSWORD: &str = "correct horse battery";
/// Its hash with fewer iterations than `user new` uses, because an unoptimised build is slow.
const QUICK_HASH: &str = "pbkdf2-sha256$1000$07070707070707070707070707070707$bd17249f1e0ae6fd86bfc7203dbb56febd8d58010dce61290529448dfc52ee5d";

/// A console with two tenants whose server knows three people and a program; and the program's
/// token.
async fn with_users() -> (Console, String) {
    let mut console = Console::with_tenant(BOTH[0]).await;
    let url = console.database("globex").await;
    console.add_tenant("globex", &url, &[]).succeeded();
    for slug in ["acme", "globex"] {
        console.run(&["job", "add", slug, "a", "--type", "noop", "--every", "1h"]).succeeded();
    }
    let new = |arguments: &[&str]| {
        let arguments = [&["user", "new"], arguments].concat();
        console.run_with_input(&arguments, PASSWORD).succeeded().keeps(&[PASSWORD])
    };
    let program = new(&["deploy", "--role", "operator", "--token"]);
    let token = program.stderr.split_whitespace().last().unwrap().to_owned();
    let quick = |name: &str, more: &str| {
        format!("[[user]]\nname = \"{name}\"\npassword = \"{QUICK_HASH}\"\n{more}\n")
    };
    let users = [
        program.stdout,
        new(&["ann", "--role", "operator"]).stdout,
        quick("vic", "role = \"viewer\""),
        quick("sue", "role = \"operator\"\ntenants = [\"acme\"]"),
    ];
    let file = console.folder.path("users.toml");
    write_private(&file, &users.concat());
    console.set("POLYCHRON_USERS", &file.display().to_string());
    (console, token)
}

#[tokio::test]
async fn a_changed_file_of_users_needs_no_restart() {
    let (console, token) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "vic");
    server.get("/tenants").ended(200);
    let file = console.folder.path("users.toml");
    let users = std::fs::read_to_string(&file).unwrap();
    // What cannot be read changes nothing.
    std::fs::write(&file, "user = 7").unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let status = || server.send("GET", "/api/v1/tenants", &[&bearer], "").status;
    let gone = users.replace("name = \"vic\"", "name = \"victor\"").replace("sha256$", "sha256$0");
    assert_eq!(status(), 200);
    std::fs::write(&file, gone).unwrap();
    eventually("the program is a stranger", || async { (status() == 401).then_some(()) }).await;
    server.get("/tenants").ended(303);
    std::fs::write(&file, format!("{users}\n")).unwrap();
    eventually("it is known again", || async { (status() == 200).then_some(()) }).await;
    // The session ended with its user.
    server.get("/tenants").ended(303);
}

fn sign_in(server: &mut Server, name: &str) {
    let answer =
        server.post("/login", &[("name", name), ("password", PASSWORD), ("to", "/tenants")]);
    let answer = answer.ended(303);
    assert_eq!(answer.header("location"), Some("/tenants"));
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure"), "{cookie}");
    server.always(format!("Cookie: {}", cookie.split(';').next().unwrap()));
}

#[tokio::test]
async fn requests_without_credentials_are_refused() {
    let (console, token) = with_users().await;
    let mut server = Server::start(&console);
    let turned_away = server.get("/tenants?search=a").ended(303);
    assert_eq!(turned_away.header("location"), Some("/login?to=%2Ftenants%3Fsearch%3Da"));
    server.get("/api/v1/tenants").shows_problem(401, "Authorization");
    server.get("/events").ended(303);
    server.post("/tenants/acme/job/run?name=a", &[]).ended(401);
    server.get("/login").ended(200).shows(&["Password"]);
    for header in ["Authorization: Bearer x", "Cookie: polychron_session=x"] {
        server.send("GET", "/api/v1/tenants", &[header], "").shows_problem(401, "Authorization");
    }
    let answer = server.get("/api/v1/tenants");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

    let bearer = format!("Authorization: Bearer {token}");
    server.send("GET", "/api/v1/tenants", &[&bearer], "").ended(200);
    server.send("POST", "/api/v1/tenants/acme/jobs/a/run", &[&bearer], "").ended(201);

    sign_in(&mut server, "ann");
    server.get("/tenants").ended(200).shows(&["ann (operator)", "Sign out"]);
    let out = server.submit("/tenants", "/logout", &[]).ended(303);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    server.get("/tenants").ended(303);
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let (console, _) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "vic");
    let page = server.get("/tenants/acme/job?name=a").ended(200);
    assert!(!page.body.contains("Run now") && !page.body.contains("Pause"), "{page:#?}");
    server.submit("/tenants", "/tenants/acme/job/run?name=a", &[]).ended(403).shows(&["viewer"]);
    let run = server.json("POST", "/api/v1/tenants/acme/jobs/a/run", &json!({}));
    run.shows_problem(403, "viewer");
    server.get("/audit").ended(200);
    let rows = server.get("/api/v1/tenants/acme/executions").ended(200).value();
    assert_eq!(rows["items"], json!([]));
    // Signing out is not a change.
    server.submit("/tenants", "/logout", &[]).ended(303);
}

#[tokio::test]
async fn a_user_limited_to_a_tenant_does_not_learn_of_others() {
    let (console, _) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "sue");
    eventually("the fleet cache has her tenant", || async {
        server.get("/tenants").body.contains("/tenants/acme").then_some(())
    })
    .await;
    for page in
        ["/", "/tenants", "/tenants/acme", "/api/v1/now", "/api/v1/tenants", "/audit?tenant=acme"]
    {
        let page = server.get(page).ended(200);
        assert!(!page.body.contains("globex"), "{page:#?}");
    }
    for path in
        ["/tenants/globex", "/tenants/globex/jobs", "/events?tenant=globex", "/audit?tenant=globex"]
    {
        let refused = server.get(path).ended(404);
        assert!(refused.body.contains("no tenant is called"), "{refused:#?}");
    }
    for path in ["/tenants/globex", "/tenants/globex/jobs/a", "/audit?tenant=globex"] {
        server.get(&format!("/api/v1{path}")).shows_problem(404, "no tenant is called `globex`");
    }
    server
        .json("POST", "/api/v1/tenants/globex/jobs/a/run", &json!({}))
        .shows_problem(404, "no tenant");
    server.submit("/tenants/acme", "/tenants/globex/suspend", &[]).ended(404);
    for path in ["/audit", "/consumers"] {
        server.get(path).ended(403);
        server.get(&format!("/api/v1{path}")).shows_problem(403, "limited to some tenants");
    }
    server.json("POST", "/api/v1/tenants/acme/jobs/a/run", &json!({})).ended(201);
}

#[tokio::test]
async fn what_an_operator_of_all_tenants_has_set_a_limited_one_cannot_lift() {
    let (console, token) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "sue");
    let acme = "/api/v1/tenants/acme";
    let bearer = format!("Authorization: Bearer {token}");
    let root = |body: serde_json::Value| {
        let json = "Content-Type: application/json";
        server.send("PATCH", acme, &[&bearer, json], &body.to_string()).ended(200);
    };
    let sue = |body: serde_json::Value| server.json("PATCH", acme, &body);
    // She may suspend and lower the limit.
    sue(json!({"max_running": 7})).ended(200);
    sue(json!({"status": "active", "max_running": 7, "name": "Acme"})).ended(200);
    root(json!({"max_running": 3}));
    for raised in [json!({"max_running": null}), json!({"max_running": 4})] {
        sue(raised).shows_problem(403, "only an operator of all tenants");
    }
    sue(json!({"max_running": 2})).ended(200);
    sue(json!({"status": "suspended"})).ended(200);
    for lifted in [
        json!({"status": "active"}),
        json!({"status": "active", "max_running": null}),
        json!({"status": "active", "max_running": 1}),
    ] {
        sue(lifted).shows_problem(403, "only an operator of all tenants");
    }
    let page = server.get("/tenants/acme").ended(200);
    assert!(!page.body.contains("/tenants/acme/resume"), "{page:#?}");
    server.submit("/tenants/acme/notify", "/tenants/acme/resume", &[]).ended(403);
    let now = server.get(acme).ended(200).value();
    assert_eq!((&now["status"], &now["max_running"]), (&json!("suspended"), &json!(2)));
    root(json!({"status": "active", "max_running": null}));
}

#[tokio::test]
async fn a_revoked_user_is_out_at_once() {
    let (console, token) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "vic");
    server.get("/tenants").ended(200);
    let bearer = format!("Authorization: Bearer {token}");
    let by_token = || server.send("GET", "/api/v1/tenants", &[&bearer], "").status;
    assert_eq!(by_token(), 200);
    console.run(&["user", "revoke", "nobody"]).ended(3).says(&["no user `nobody`"]);
    console.run(&["user", "revoke", "vic", "--dry-run"]).succeeded();
    server.get("/tenants").ended(200);
    for name in ["vic", "deploy"] {
        console.run(&["user", "revoke", name]).succeeded();
    }
    console.run(&["user", "revoke", "vic"]).ended(1).says(&["revoked already"]);
    eventually("the token has ended", || async { (by_token() == 401).then_some(()) }).await;
    server.get("/tenants").ended(303);
    server.post("/login", &[("name", "vic"), ("password", PASSWORD)]).ended(403);
    let file = console.folder.path("users.toml");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The others stay.
    sign_in(&mut server, "sue");
}

#[tokio::test]
async fn a_session_ends_however_much_it_is_used() {
    let (mut console, _) = with_users().await;
    console.set("POLYCHRON_SESSION", "3s");
    let mut server = Server::start(&console);
    sign_in(&mut server, "vic");
    server.get("/consumers").ended(200);
    eventually("the session has ended", || async {
        (server.get("/consumers").status == 303).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_known_browser_and_a_trusted_proxy_keep_strangers_from_locking_somebody_out() {
    let (mut console, _) = with_users().await;
    console.set("POLYCHRON_PROXIES", "127.0.0.1");
    let server = Server::start(&console);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let sign_in = |name: &str, password: &str, from: &str, more: &[&str]| {
        let from = format!("X-Forwarded-For: {from}");
        let body = format!("name={name}&password={}", password.replace(' ', "+"));
        server.send("POST", "/login", &[&[form, from.as_str()], more].concat(), &body)
    };
    let known = sign_in("sue", PASSWORD, "192.0.2.1", &[]).ended(303);
    let device = known.head.lines().find(|line| line.contains("polychron_device=")).unwrap();
    let device = device.split([' ', ';']).nth(1).unwrap();
    for name in ["sue", "unknown"] {
        let statuses: Vec<u16> =
            (0..6).map(|_| sign_in(name, "wrong", "192.0.2.66", &[]).status).collect();
        assert_eq!(statuses, [403, 403, 403, 403, 403, 429], "{name}");
    }
    // What a client writes before the proxy's own entry is ignored.
    sign_in("sue", "wrong", "203.0.113.5, 192.0.2.66", &[]).ended(429);
    sign_in("sue", PASSWORD, "192.0.2.2", &[]).ended(303);
    let device = format!("Cookie: {device}");
    sign_in("sue", PASSWORD, "192.0.2.66", &[&device]).ended(303);
    sign_in("vic", PASSWORD, "192.0.2.66", &[&device]).ended(303);
}

#[tokio::test]
async fn refusals_are_logged_and_counted() {
    let (mut console, _) = with_users().await;
    let address = shared_port();
    console.set("POLYCHRON_HTTP", &address);
    let log = console.folder.path("log");
    let mut command = console.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("POLYCHRON_LOG", "warn");
    let server = Server::logging_to(command, &log);
    server
        .post("/login", &[("name", "su\u{1b}[2Je\nERROR forged"), ("password", "wrong")])
        .ended(403);
    for _ in 0..3 {
        server.send("GET", "/api/v1/tenants", &["Authorization: Bearer wrong"], "").ended(401);
    }
    let text = eventually("it is logged", || async {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("its token is unknown").then_some(text)
    })
    .await;
    assert!(text.contains("a sign-in was refused: wrong name or password"), "{text}");
    assert!(text.contains("su\\u{1b}[2Je\\nERROR forged"), "{text}");
    assert!(
        !text.contains('\u{1b}') && text.matches("its token is unknown").count() == 1,
        "{text}"
    );
    let metrics = server.get_from(&address, "/metrics").ended(200);
    metrics.shows(&[
        "polychron_sign_ins_refused_total{reason=\"password\"} 1",
        "polychron_sign_ins_refused_total{reason=\"token\"} 3",
    ]);
    server.get_from(&address, "/health/live").ended(200);
}

/// An address that was free a moment ago.
fn shared_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn guessing_passwords_is_limited() {
    let (console, _) = with_users().await;
    let server = Server::start(&console);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(server.post("/login", &[("name", "sue"), ("password", "wrong")]).status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
    let right = server.post("/login", &[("name", "sue"), ("password", PASSWORD)]);
    right.ended(429).shows(&["wait a minute"]);
    // Other clients can still sign in.
    let proxied = ["Content-Type: application/x-www-form-urlencoded", "X-Forwarded-Proto: https"];
    let body = format!("name=vic&password={}&to=//evil.example", PASSWORD.replace(' ', "+"));
    let answer = server.send("POST", "/login", &proxied, &body).ended(303);
    assert_eq!(answer.header("location"), Some("/"));
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"));
}

#[tokio::test]
async fn without_users_only_loopback_is_served() {
    let console = Console::with_tenant(BOTH[0]).await;
    let refused = console.run(&["serve", "--listen", "0.0.0.0:0"]).ended(2);
    refused.says(&["POLYCHRON_LISTEN", "POLYCHRON_USERS", "polychron user new"]);
    let server = Server::start(&console);
    let by = |host: &str| -> Response {
        server.send("GET", "/api/v1/tenants", &[&format!("Host: {host}")], "")
    };
    by("localhost:8484").ended(200);
    by("evil.example").shows_problem(421, "localhost");
    let page = server.send("GET", "/", &["Host: evil.example"], "").ended(421);
    assert!(page.body.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn an_invalid_file_of_users_is_refused() {
    let mut console = Console::new(BOTH[0]).await;
    let file = console.folder.path("users.toml");
    console.set("POLYCHRON_USERS", &file.display().to_string());
    let hash = format!("sha256${}", "0".repeat(64));
    for (text, says) in [
        ("".to_owned(), "lists no user"),
        ("[[user]]\nname = \"ann\"".to_owned(), "role"),
        (
            "[[user]]\nname = \"ann\"\nrole = \"viewer\"".to_owned(),
            "neither a password nor a token",
        ),
        ("[[user]]\nname = \"ann\"\nrole = \"boss\"".to_owned(), "boss"),
        (
            "[[user]]\nname = \"ann\"\nrole = \"viewer\"\npassword = \"s3cret\"".to_owned(),
            "is not a hash",
        ),
        ("[[user]]\nname = \"ann\"\nrole = \"viewer\"\ntokn = \"x\"".to_owned(), "tokn"),
        (
            format!("[[user]]\nname = \"ann\"\nrole = \"viewer\"\ntoken = \"{hash}\"\n").repeat(2),
            "two users with the name `ann`",
        ),
        (
            format!("[[user]]\nname = \"\"\nrole = \"viewer\"\ntoken = \"{hash}\"\n"),
            "a user without a name",
        ),
    ] {
        write_private(&file, &text);
        let refused = console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2);
        refused.says(&["POLYCHRON_USERS", says]).keeps(&["s3cret"]);
    }
    for mode in [0o644, 0o660, 0o602] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, mode).unwrap();
        let refused = console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2);
        refused.says(&["POLYCHRON_USERS", "run `chmod "]);
    }
    std::fs::remove_file(&file).unwrap();
    console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2).says(&["cannot be read"]);
    console.run_with_input(&["user", "new", "sue", "--role", "viewer"], "short").ended(2);
}
