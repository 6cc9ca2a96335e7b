//! `polychron schedule preview` and `polychron job next`.

use serde_json::Value;

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
async fn a_job_tells_its_next_times() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop", "--at", "2099-01-01T00:00:00Z"];
        console.run(&add).succeeded();
        let next = console.run(&["job", "next", "acme", "a", "-n", "3", "-o", "json"]).succeeded();
        assert_eq!(times(&next.json()), ["2099-01-01T00:00:00Z"]);
    }
}
