//! Who gets in, and what they may do.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use shared::private_file;
use testkit::eventually;

use super::server::{Response, Server};
use crate::console::{BOTH, Console};

const PASSWORD: &str = "correct horse battery";
/// Its hash with fewer rounds than `user new` takes: an unoptimised build is slow at them.
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
    private_file::create(&file).unwrap();
    std::fs::write(&file, users.concat()).unwrap();
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
async fn nobody_gets_in_without_saying_who_they_are() {
    let (console, token) = with_users().await;
    let mut server = Server::start(&console);
    let turned_away = server.get("/tenants?search=a").ended(303);
    assert_eq!(turned_away.header("location"), Some("/login?to=%2Ftenants%3Fsearch%3Da"));
    server.get("/api/v1/tenants").tells_problem(401, "Authorization");
    server.get("/events").ended(303);
    server.post("/tenants/acme/job/run?name=a", &[]).ended(401);
    server.get("/login").ended(200).shows(&["Password"]);
    for header in ["Authorization: Bearer x", "Cookie: polychron_session=x"] {
        server.send("GET", "/api/v1/tenants", &[header], "").tells_problem(401, "Authorization");
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
async fn a_viewer_looks_and_changes_nothing() {
    let (console, _) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "vic");
    let page = server.get("/tenants/acme/job?name=a").ended(200);
    assert!(!page.body.contains("Run now") && !page.body.contains("Pause"), "{page:#?}");
    server.submit("/tenants", "/tenants/acme/job/run?name=a", &[]).ended(403).shows(&["viewer"]);
    let run = server.json("POST", "/api/v1/tenants/acme/jobs/a/run", &json!({}));
    run.tells_problem(403, "viewer");
    server.get("/audit").ended(200);
    let rows = server.get("/api/v1/tenants/acme/executions").ended(200).value();
    assert_eq!(rows["items"], json!([]));
    // Leaving is no change.
    server.submit("/tenants", "/logout", &[]).ended(303);
}

#[tokio::test]
async fn whoever_is_limited_to_a_tenant_does_not_learn_of_others() {
    let (console, _) = with_users().await;
    let mut server = Server::start(&console);
    sign_in(&mut server, "sue");
    eventually("the survey has seen her tenant", || async {
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
        server.get(&format!("/api/v1{path}")).tells_problem(404, "no tenant is called `globex`");
    }
    server
        .json("POST", "/api/v1/tenants/globex/jobs/a/run", &json!({}))
        .tells_problem(404, "no tenant");
    server.submit("/tenants/acme", "/tenants/globex/suspend", &[]).ended(404);
    for path in ["/audit", "/consumers"] {
        server.get(path).ended(403);
        server.get(&format!("/api/v1{path}")).tells_problem(403, "limited to some tenants");
    }
    server.json("POST", "/api/v1/tenants/acme/jobs/a/run", &json!({})).ended(201);
}

#[tokio::test]
async fn passwords_are_not_to_be_guessed() {
    let (console, _) = with_users().await;
    let server = Server::start(&console);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(server.post("/login", &[("name", "sue"), ("password", "wrong")]).status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
    let right = server.post("/login", &[("name", "sue"), ("password", PASSWORD)]);
    right.ended(429).shows(&["wait a minute"]);
    // Others are not kept out by it.
    let proxied = ["Content-Type: application/x-www-form-urlencoded", "X-Forwarded-Proto: https"];
    let body = format!("name=vic&password={}&to=//evil.example", PASSWORD.replace(' ', "+"));
    let answer = server.send("POST", "/login", &proxied, &body).ended(303);
    assert_eq!(answer.header("location"), Some("/"));
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"));
}

#[tokio::test]
async fn without_users_only_the_machine_itself_is_answered() {
    let console = Console::with_tenant(BOTH[0]).await;
    let refused = console.run(&["serve", "--listen", "0.0.0.0:0"]).ended(2);
    refused.says(&["POLYCHRON_LISTEN", "POLYCHRON_USERS", "polychron user new"]);
    let server = Server::start(&console);
    let by = |host: &str| -> Response {
        server.send("GET", "/api/v1/tenants", &[&format!("Host: {host}")], "")
    };
    by("localhost:8484").ended(200);
    by("evil.example").tells_problem(421, "localhost");
    let page = server.send("GET", "/", &["Host: evil.example"], "").ended(421);
    assert!(page.body.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_file_of_users_that_cannot_be_meant_is_refused() {
    let mut console = Console::new(BOTH[0]).await;
    let file = console.folder.path("users.toml");
    private_file::create(&file).unwrap();
    console.set("POLYCHRON_USERS", &file.display().to_string());
    let hash = format!("sha256${}", "0".repeat(64));
    for (text, says) in [
        ("".to_owned(), "names nobody"),
        ("[[user]]\nname = \"ann\"".to_owned(), "role"),
        (
            "[[user]]\nname = \"ann\"\nrole = \"viewer\"".to_owned(),
            "neither a password nor a token",
        ),
        ("[[user]]\nname = \"ann\"\nrole = \"boss\"".to_owned(), "boss"),
        (
            "[[user]]\nname = \"ann\"\nrole = \"viewer\"\npassword = \"s3cret\"".to_owned(),
            "holds no hash",
        ),
        ("[[user]]\nname = \"ann\"\nrole = \"viewer\"\ntokn = \"x\"".to_owned(), "tokn"),
        (
            format!("[[user]]\nname = \"ann\"\nrole = \"viewer\"\ntoken = \"{hash}\"\n").repeat(2),
            "twice",
        ),
    ] {
        std::fs::write(&file, &text).unwrap();
        let refused = console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2);
        refused.says(&["POLYCHRON_USERS", says]).keeps(&["s3cret"]);
    }
    for (mode, says) in
        [(0o644, "can be read by every user"), (0o602, "can be changed by every user")]
    {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2);
        refused.says(&["POLYCHRON_USERS", says, "chmod o="]);
    }
    std::fs::remove_file(&file).unwrap();
    console.run(&["serve", "--listen", "127.0.0.1:0"]).ended(2).says(&["cannot be read"]);
    console.run_with_input(&["user", "new", "sue", "--role", "viewer"], "short").ended(2);
}
