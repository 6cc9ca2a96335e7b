//! `polychron schedule preview` and `polychron job next`.

use serde_json::{Value, json};

use crate::console::{BOTH, Console};

fn times(due: &Value) -> Vec<&str> {
    due.as_array().unwrap().iter().map(|due| due["at"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_preview_needs_no_database_and_is_an_array_of_times() {
    let console = Console::bare(BOTH[0]).await;
    let preview = [
        "schedule",
        "preview",
        "30 1 * * *",
        "--timezone",
        "Europe/London",
        "--from",
        "2026-10-24T12:00:00Z",
        "-n",
        "2",
        "-o",
        "json",
    ];
    let due = console.run(&preview).succeeded().json();
    assert_eq!(times(&due), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    assert_eq!(due[0]["local"], "2026-10-25T01:30:00+01:00");
    assert_eq!(due[0]["clocks"], "first pass of a repeated time");
    assert!(due[1]["clocks"].is_null());
    let words = ["schedule", "preview", "30 1 * * *", "--timezone", "Europe/London", "-n", "1"];
    console.run(&words).succeeded().says(&["01:30", "London"]);
    let spring = [
        "schedule",
        "preview",
        "30 1 * * *",
        "--timezone",
        "Europe/London",
        "--from",
        "2026-03-28T12:00:00Z",
        "-n",
        "1",
        "-o",
        "jsonl",
    ];
    let due = console.run(&spring).succeeded().json();
    assert_eq!(due["at"], "2026-03-29T01:00:00Z");
    assert_eq!(due["local"], "2026-03-29T02:00:00+01:00");
    assert!(due["clocks"].as_str().unwrap().contains("moved"), "{due}");
    let several =
        r#"{"any": [{"cron": "30 8 * * *"}, {"cron": "0 12 * * *"}], "timezone": "Europe/London"}"#;
    let several = ["schedule", "preview", several, "--from", "2026-07-01T00:00:00Z", "-n", "2"];
    let due = console.run(&[&several[..], &["-o", "json"]].concat()).succeeded().json();
    assert_eq!(times(&due), ["2026-07-01T07:30:00Z", "2026-07-01T11:00:00Z"]);
    console.run(&several).succeeded().says(&["at 08:30 every day, and at 12:00", "London time"]);
    for (arguments, code) in [
        (&["61 * * * *"][..], 2),
        (&["* * * * *", "--timezone", "Nowhere/At/All"], 2),
        (&["* * * * *", "--from", "yesterday"], 2),
        (&["* * * * *", "-n", "0"], 2),
        (&[r#"{"every": "90m"}"#, "-n", "1"], 0),
    ] {
        console.run(&[&["schedule", "preview"], arguments].concat()).ended(code);
    }
}

#[tokio::test]
async fn a_job_shows_its_next_times() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop", "--at", "2099-01-01T00:00:00Z"];
        console.run(&add).succeeded();
        let next = console.run(&["job", "next", "acme", "a", "-n", "3", "-o", "json"]).succeeded();
        assert_eq!(times(&next.json()), ["2099-01-01T00:00:00Z"]);
    }
}

#[tokio::test]
async fn all_readings_of_an_expression_are_shown_with_their_times() {
    let console = Console::with_tenant(BOTH[0]).await;
    let translate = |text: &str| {
        let from = "2026-12-01T00:00:00Z";
        console.run(&["schedule", "translate", text, "--from", from, "-o", "json"])
    };
    let readings = translate("0 0 12 ? * 2-6").succeeded().json();
    assert_eq!(readings[0]["schedule"], json!({"cron": "0 12 * * MON-FRI"}), "{readings:#}");
    assert_eq!(readings[1]["schedule"], json!({"cron": "0 12 * * TUE-SAT"}), "{readings:#}");
    assert_eq!(readings[0]["next"][0], json!("2026-12-01T12:00:00Z"), "{readings:#}");
    let shown = console.run(&["schedule", "translate", "rate(5 minutes)"]).succeeded();
    assert!(shown.stdout.contains("EventBridge") && shown.stdout.contains("every 5 minutes"));
    translate("0 25 * * *").ended(2).says(&["hour 25 is outside"]);
    let preview = ["schedule", "preview", "0 9 * * *", "--timezone", "PST"];
    console.run(&preview).ended(2).says(&["`America/Los_Angeles`", "US Pacific"]);
    let local = ["job", "add", "acme", "eve", "--type", "noop", "--at", "2076-12-24T18:00:00"];
    console.run(&local).ended(2).says(&["without a zone"]);
    console.run(&[&local[..], &["--timezone", "Europe/Berlin"]].concat()).succeeded();
    let next = console.run(&["job", "next", "acme", "eve", "-o", "json"]).succeeded().json();
    assert_eq!(next[0]["at"], json!("2076-12-24T17:00:00Z"));
}
