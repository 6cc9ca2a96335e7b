//! What the pages' buttons do.

use serde_json::json;

use super::server::{Response, Server};
use crate::console::{BOTH, Console};

/// Follows a redirect.
#[track_caller]
fn follow(server: &Server, answer: Response) -> Response {
    let answer = answer.ended(303);
    server.get(answer.header("location").unwrap()).ended(200)
}

#[tokio::test]
async fn buttons_do_what_commands_do() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a b", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        let job = "/tenants/acme/job?name=a%20b";
        let action = |verb: &str| format!("/tenants/acme/job/{verb}?name=a%20b");

        let run = follow(&server, server.submit(job, &action("run"), &[]));
        run.shows(&["manual", "Cancel"]);
        let row = server.get("/api/v1/tenants/acme/executions").value()["items"][0].clone();
        let execution = format!("/tenants/acme/executions/{}", row["id"].as_str().unwrap());
        let cancel =
            server.submit(&execution, &format!("{execution}/cancel"), &[("reason", "oops")]);
        follow(&server, cancel).shows(&["cancelled on request", "Run again"]);
        let again = server.submit(&execution, &format!("{execution}/cancel"), &[]);
        again.ended(409).shows(&["cancelled already"]);
        let retry = server.submit(&execution, &format!("{execution}/retry"), &[]);
        follow(&server, retry).shows(&["manual"]);

        let pause = server.submit(job, &action("pause"), &[("reason", "too <loud>")]);
        follow(&server, pause).shows(&["paused", "Resume", "too &lt;loud&gt;", "job.pause"]);
        follow(&server, server.submit(job, &action("resume"), &[])).shows(&["enabled", "Pause"]);

        let delete = |name| server.submit(job, &action("delete"), &[("confirmed_name", name)]);
        delete("a").ended(400).shows(&["nothing was deleted", "a b"]);
        server.get(job).ended(200).shows(&["Its open executions (1) are cancelled"]);
        follow(&server, delete("a b")).shows(&["Jobs"]);
        server.get(job).ended(404);

        let tenant = "/tenants/acme";
        let suspend = server.submit(tenant, "/tenants/acme/suspend", &[("reason", "unpaid")]);
        follow(&server, suspend).shows(&["suspended", "Resume"]);
        follow(&server, server.submit(tenant, "/tenants/acme/resume", &[])).shows(&["active"]);
    }
}

#[tokio::test]
async fn a_schedule_is_previewed_and_then_saved_unless_it_has_changed_meanwhile() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        let page = "/tenants/acme/job/schedule?name=a";
        server.get(page).ended(200).shows(&["&quot;every&quot;: &quot;1h&quot;", "Preview"]);
        let wrong = server.get(&format!("{page}&schedule=0+25+*+*+*&timezone=")).ended(200);
        assert!(!wrong.body.contains("Save this schedule"), "{wrong:#?}");
        wrong.shows(&["hour 25 is outside"]);
        let tried = format!("{page}&schedule=0+2+*+*+1-5&timezone=Europe%2FLondon");
        let preview = server.get(&tried).ended(200);
        preview.shows(&[
            "London",
            "at 02:00",
            "Save this schedule",
            "name=\"version\" value=\"1\"",
        ]);

        let fields = [("schedule", "0 2 * * 1-5"), ("timezone", "Europe/London"), ("version", "1")];
        follow(&server, server.submit(&tried, page, &fields)).shows(&["at 02:00"]);
        let job = server.get("/api/v1/tenants/acme/jobs/a").value();
        assert_eq!(job["schedule"], json!({"cron": "0 2 * * 1-5", "timezone": "Europe/London"}));
        // The other tab still shows version 1.
        server.submit(&tried, page, &fields).ended(412).shows(&["now at version 2"]);
        let odd = [("schedule", "0 25 * * *"), ("version", "2")];
        server.submit(&tried, page, &odd).ended(400).shows(&["hour 25"]);
        // A cron expression keeps the zone; JSON is the whole schedule.
        let tried = format!("{page}&schedule=0+3+*+*+*&timezone=");
        let kept = ["Until now it runs at 02:00", "Kept: timezone &quot;Europe/London&quot;"];
        server.get(&tried).ended(200).shows(&kept);
        let fields = [("schedule", "0 3 * * *"), ("timezone", ""), ("version", "2")];
        follow(&server, server.submit(&tried, page, &fields)).shows(&["at 03:00", "London"]);
        let fields = [("schedule", r#"{"cron": "0 3 * * *"}"#), ("version", "3")];
        follow(&server, server.submit(&tried, page, &fields)).shows(&["at 03:00", "UTC"]);
    }
}

#[tokio::test]
async fn a_form_that_is_not_ours_changes_nothing() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    let server = Server::start(&console);
    let run = "/tenants/acme/job/run?name=a";
    server.post(run, &[]).ended(403).shows(&["out of date"]);
    server.post(run, &[("form_key", "00")]).ended(403);
    for header in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        server.send("POST", run, &[header], "").ended(403).shows(&["another site"]);
        let path = "/api/v1/tenants/acme/jobs/a/run";
        server.send("POST", path, &[header], "").shows_problem(403, "another site");
    }
    let rows = server.get("/api/v1/tenants/acme/executions").value();
    assert_eq!(rows["items"], json!([]));
}

#[tokio::test]
async fn notifications_are_previewed_and_then_saved() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        server.get("/tenants/acme").ended(200).shows(&["Default notifications", "No one."]);
        let page = "/tenants/acme/notify";
        let tried = format!("{page}?target=https%3A%2F%2Fhooks.example%2Fa%3Cb");
        let preview = server.get(&tried).ended(200);
        preview.shows(&[
            "Notifies https://hooks.example/a&lt;b of failed, recovered, late, caught_up.",
        ]);
        let fields = [("target", "https://hooks.example/all"), ("reason", "on call")];
        let saved = follow(&server, server.submit(&tried, page, &fields));
        saved.shows(&["https://hooks.example/all"]);

        let job = "/tenants/acme/job?name=a";
        server.get(job).ended(200).shows(&["The tenant&#39;s default.", "hooks.example/all"]);
        let page = "/tenants/acme/job/notify?name=a";
        let wrong = server.get(&format!("{page}&target=ftp%3A%2F%2Fa")).ended(200);
        assert!(!wrong.body.contains("Save this target"), "{wrong:#?}");
        wrong.shows(&["role=\"alert\"", "notify.url is not an http"]);
        let tried = format!("{page}&target=off");
        server.get(&tried).ended(200).shows(&["No one.", "Save this target"]);
        let own = r#"{"url": {"$secret": "HOOK"}, "on": ["failed"]}"#;
        let fields = [("target", own), ("version", "1")];
        let words = ["Notifies the address in the secret HOOK of failed."];
        follow(&server, server.submit(&tried, page, &fields)).shows(&words);
        let stored = server.get("/api/v1/tenants/acme/jobs/a").value();
        assert_eq!(stored["notify"], json!({"url": {"$secret": "HOOK"}, "on": ["failed"]}));
        server.submit(&tried, page, &[("target", "default"), ("version", "x")]).ended(400);
        let version = stored["version"].to_string();
        let back = [("target", "default"), ("version", version.as_str())];
        follow(&server, server.submit(&tried, page, &back)).shows(&["The tenant&#39;s default."]);
        server.submit(&tried, page, &[("target", "ftp://a"), ("version", "1")]).ended(400);
        let audit = server.get("/audit?tenant=acme").ended(200);
        assert!(!audit.body.contains("HOOK"), "{audit:#?}");
        audit.shows(&["(another, not recorded)"]);
    }
}
