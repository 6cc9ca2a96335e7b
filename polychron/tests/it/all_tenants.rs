//! `--all-tenants`, and the confirmation of many changes at once.

use serde_json::{Value, json};

use crate::console::{Answer, BOTH, Backend, Console};
use crate::migrate::point_elsewhere;

/// Tenants `a`, `broken`, whose database is out of reach, and `z`; a job `ping` at those that work.
async fn three(backend: Backend) -> Console {
    let console = Console::new(backend).await;
    for slug in ["a", "broken", "z"] {
        let url = console.database(slug).await;
        console.add_tenant(slug, &url, &[]).succeeded();
        console.run(&["job", "add", slug, "ping", "--type", "noop", "--every", "1h"]).succeeded();
    }
    point_elsewhere(&console.control, "broken", "postgres://us3r:s3cret@127.0.0.1:1/x").await;
    console
}

/// Exit code 4, and on standard error which tenant failed and why.
#[track_caller]
fn one_failed(answer: Answer) -> Vec<Value> {
    let answer = answer.ended(4).keeps(&["s3cret", "us3r"]);
    let errors: Vec<Value> =
        answer.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let reported = errors.iter().filter(|error| error["error"]["tenant"] == "broken").count();
    assert!(reported >= 1, "{answer:#?}");
    let last = &errors.last().unwrap()["error"];
    assert_eq!((&last["kind"], &last["code"]), (&json!("some_tenants"), &json!(4)));
    answer.json().as_array().unwrap().clone()
}

fn tenants(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["tenant"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tenant_that_fails_is_reported_and_the_others_are_served() {
    for backend in BOTH {
        let console = three(backend).await;
        let run = |line: &[&str]| console.run(&[line, &["--all-tenants", "-o", "json"]].concat());
        for line in [
            &["job", "list"][..],
            &["job", "next", "ping", "-n", "1"],
            &["job", "edit", "ping", "--queue", "slow", "-y"],
            &["job", "pause", "ping", "-y"],
            &["job", "resume", "ping", "-y"],
            &["job", "run", "ping", "-y"],
            &["execution", "list"],
            &["execution", "cancel", "--job", "ping", "-y"],
            &["execution", "retry", "--status", "cancelled", "--since", "1h", "-y"],
            &["job", "add", "pong", "--type", "noop", "--cron", "H 3 * * *", "-y"],
            &["job", "show", "pong"],
            &["job", "delete", "pong", "-y"],
        ] {
            let rows = one_failed(run(line));
            let mut served = tenants(&rows);
            served.sort_unstable();
            assert_eq!(served, ["a", "z"], "{line:?}");
        }
        let explained = one_failed(run(&["job", "explain", "ping"]));
        assert!(["a", "z"].iter().all(|slug| tenants(&explained).contains(slug)));
        let table = console.run(&["job", "list", "--all-tenants"]).ended(4);
        assert!(table.stdout.starts_with("TENANT  NAME"), "{table:#?}");
        table.says(&["broken: tenant broken, postgres://127.0.0.1:1/x: ", "1 of 3 tenants failed"]);
        let listed = run(&["job", "list"]).json();
        assert!(listed.as_array().unwrap().iter().all(|job| job["queue"] == "slow"));
    }
}

#[tokio::test]
async fn many_changes_are_made_once_their_number_was_confirmed() {
    let console = Console::new(BOTH[0]).await;
    for slug in ["a", "b", "c"] {
        let url = console.database(slug).await;
        console.add_tenant(slug, &url, &[]).succeeded();
    }
    for slug in ["a", "b"] {
        console.run(&["job", "add", slug, "ping", "--type", "noop", "--every", "1h"]).succeeded();
    }
    console.run(&["job", "pause", "b", "ping"]).succeeded();
    let all = |line: &[&str]| console.run(&[line, &["--all-tenants"]].concat());
    all(&["job", "edit", "ping", "--queue", "x"]).ended(2).says(&["at 2 tenants", "-y"]);
    // One has it paused already.
    all(&["job", "pause", "ping"]).ended(2).says(&["Pausing job ping at 1 tenant.", "-y"]);
    all(&["job", "run", "ping"]).ended(2).says(&["Running job ping at 2 tenants."]);
    all(&["job", "run", "ping", "-y"]).succeeded();
    all(&["job", "run", "ping", "-y"]).succeeded();
    let cancel = ["execution", "cancel", "--job", "ping"];
    all(&cancel).ended(2).says(&["Cancelling 4 executions at 2 tenants.", "-y"]);
    console.run(&["execution", "cancel", "a", "--job", "ping"]).ended(2).says(&["2 executions"]);
    console.run(&["execution", "cancel", "a", "--job", "ping", "-y"]).succeeded();
    all(&cancel).ended(2).says(&["Cancelling 2 executions at 1 tenant."]);
    let again = ["execution", "retry", "--status", "cancelled", "--since", "1h"];
    let again = all(&[&again[..], &["-y", "-o", "jsonl"]].concat()).succeeded();
    assert_eq!(again.stdout.lines().count(), 2);

    all(&["job", "pause", "none", "-y"]).ended(3).says(&["no tenant has a job `none`"]);
    for (line, says) in [
        (&["execution", "cancel"][..], "--job"),
        (&["execution", "cancel", "--status", "success"], "cannot be cancelled"),
        (&["execution", "retry", "--status", "running", "--since", "1h"], "not over"),
        (&["execution", "retry", "--job", "ping"], "--since"),
        (&["execution", "retry", "--job", "ping", "--since", "soon"], "2h"),
        (&["job", "pause", "a", "ping"], "--all-tenants"),
        (&["job", "run", "ping", "--wait"], "--wait"),
        (&["execution", "list", "a"], "--all-tenants"),
    ] {
        all(line).ended(2).says(&[says]);
    }
}

#[tokio::test]
async fn of_a_job_with_retries_only_the_last_attempt_is_run_again() {
    // Two attempts, of which the second succeeded: there is nothing to retry.
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    let run = console.run(&["job", "run", "acme", "a", "-o", "json"]).succeeded().json();
    let store = console.store("acme").await;
    let id = run["id"].as_str().unwrap().parse().unwrap();
    crate::executions::fail_and_succeed(&store, id).await;
    let retry = ["execution", "retry", "acme", "--status", "failed", "--since", "1h", "-o", "json"];
    assert_eq!(console.run(&retry).succeeded().json(), json!([]));
    let failed = ["execution", "list", "acme", "--status", "failed", "-o", "json"];
    assert_eq!(console.run(&failed).succeeded().json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_tenants_executions_come_newest_first_a_page_at_a_time() {
    let console = Console::new(BOTH[0]).await;
    for slug in ["a", "b"] {
        let url = console.database(slug).await;
        console.add_tenant(slug, &url, &[]).succeeded();
        console.run(&["job", "add", slug, "ping", "--type", "noop", "--every", "1h"]).succeeded();
    }
    for slug in ["a", "b", "b", "a", "a"] {
        console.run(&["job", "run", slug, "ping"]).succeeded();
    }
    let list = ["execution", "list", "--all-tenants", "--limit", "2", "-o", "json"];
    let (mut seen, mut before) = (Vec::new(), Vec::new());
    loop {
        let page = console.run(&[&list[..], &before].concat()).succeeded();
        seen.extend(page.json().as_array().unwrap().clone());
        let Some((_, id)) = page.stderr.split_once("--before ") else { break };
        let id: &'static str = Box::leak(id.trim().to_owned().into_boxed_str());
        before = vec!["--before", id];
    }
    assert_eq!(tenants(&seen), ["a", "a", "b", "b", "a"]);
}
