//! The input and output of executions, which are the same as for Rust handlers.

use serde_json::json;

use super::{ended, how, job, report, start, start_with, table, with_secret};
use shared::store::NewJob;

#[tokio::test]
async fn an_execution_gets_what_it_needs_of_its_own_tenant() {
    let fixture = start("").await;
    let row = fixture.run(json!({"text": "a\nb ü €", "n": 12345678901234567890u64})).await;
    assert_eq!(how(&row), "success");
    let got = row.result.unwrap();
    assert_eq!(got["payload"], json!({"text": "a\nb ü €", "n": 12345678901234567890u64}));
    assert_eq!(
        (&got["type"], &got["tenant"], &got["attempt"]),
        (&json!("report"), &json!("acme"), &json!(1))
    );
    assert_eq!(got["max_attempts"], 1);
    assert!(got["job"].as_str().unwrap().starts_with("report "));
    let url = got["database_url"].as_str().unwrap();
    assert!(url.starts_with("sqlite:///") && url.ends_with("/acme.db"), "{url}");
    assert!(got["idempotency_key"].as_str().unwrap().starts_with(&fixture.acme.id.to_string()));
    let traceparent = format!("00-{}-", row.id.to_string().replace('-', ""));
    assert!(got["traceparent"].as_str().unwrap().starts_with(&traceparent));
    let timeout = got["timeout_ms"].as_u64().unwrap();
    assert!((1_700_000..=1_800_000).contains(&timeout), "{timeout}");
    assert!(got["deadline"].as_str().unwrap() > got["scheduled_for"].as_str().unwrap());
}

#[tokio::test]
async fn an_error_contains_the_handlers_message() {
    let fixture = start("").await;
    let with = json!({"kind": "ValueError", "message": "no such month", "detail": "Traceback", "retry": false});
    let job = NewJob { max_attempts: 3, ..report(json!({"do": "fail", "with": with})) };
    let row = fixture.acme.run_job(&job).await.unwrap();
    assert_eq!((how(&row).as_str(), row.attempt), ("failed/handler: ValueError: no such month", 1));
    assert_eq!(row.error_detail.as_deref(), Some("Traceback"));
    let with = json!({"message": "busy", "retry_after_ms": 1});
    let job = NewJob { max_attempts: 2, ..report(json!({"do": "fail", "with": with})) };
    let row = fixture.acme.run_job(&job).await.unwrap();
    assert_eq!((how(&row).as_str(), row.attempt), ("failed/handler: busy", 2));
}

#[tokio::test]
async fn results_are_limited_as_for_rust_handlers() {
    let fixture = start("").await;
    let row = fixture.run(json!({"do": "deep"})).await;
    assert_eq!(row.result.unwrap()["polychron_cut"]["nested_more_than"], 100);
    let row = fixture.run(json!({"do": "large"})).await;
    assert_eq!(row.result.unwrap()["polychron_cut"]["bytes"], 200_002);
}

#[tokio::test]
async fn output_progress_and_errors_are_limited_as_for_rust_handlers() {
    let fixture = start("").await;
    let text = "é".repeat(15_000);
    let row = fixture.run(json!({"do": "say", "text": text})).await;
    let output = row.output.unwrap();
    assert!((12_000..=16_384).contains(&output.len()), "{}", output.len());
    assert!(output.ends_with("é\n"), "the end is kept");
    let progress = row.progress.unwrap();
    let message = progress["message"].as_str().unwrap();
    assert!((512..=1024).contains(&message.len()), "{}", message.len());
    let row = fixture.run(json!({"do": "say", "text": text, "fail": true})).await;
    let message = row.error_message.unwrap();
    assert!((4096..=8192).contains(&message.len()), "{}", message.len());
    let with = json!({"message": "no", "detail": "é".repeat(25_000)});
    let row = fixture.run(json!({"do": "fail", "with": with})).await;
    assert_eq!(row.error_detail.unwrap().len(), 50_000);
}

#[tokio::test]
async fn an_execution_whose_start_exceeds_a_line_fails_without_reaching_a_process() {
    let folder = testkit::Folder::new();
    let settings = with_secret(&folder, &"hunter2-".repeat(2000));
    let fixture = start_with(&format!("{settings}{}", table("report", ""))).await;
    let many = vec![json!({"$secret": "SMTP"}); 70];
    let job = NewJob { max_attempts: 3, ..report(json!({"do": "echo", "many": many})) };
    let row = fixture.acme.run_job(&job).await.unwrap();
    let expected = "failed/handler: payload is too large for a handler process";
    assert!(how(&row).starts_with(expected), "{}", how(&row));
    assert_eq!(row.attempt, 1, "another attempt would fail in the same way");
    assert_eq!(how(&fixture.run(json!({})).await), "success");
}

#[tokio::test]
async fn secrets_are_resolved_and_redacted_everywhere() {
    let folder = testkit::Folder::new();
    let settings = with_secret(&folder, "hunter2-hunter2");
    let fixture = start_with(&format!("{settings}{}", table("report", ""))).await;
    let secret = json!({"$secret": "SMTP"});
    let row = fixture.run(json!({"do": "say", "text": secret})).await;
    assert_eq!((how(&row).as_str(), row.result.unwrap()), ("success", json!({"text": "[secret]"})));
    assert_eq!(row.progress.unwrap(), json!({"done": 3, "total": 9, "message": "[secret]"}));
    let output = row.output.unwrap();
    for line in ["[secret]\n", "to errors [secret]\n", "WARNING [secret]\n"] {
        assert!(output.contains(line), "{output}");
    }
    assert!(!output.contains("hunter2"));
    let row = fixture.run(json!({"do": "say", "text": secret, "fail": true})).await;
    assert_eq!(how(&row), "failed/handler: ValueError: [secret]");
    assert_eq!(row.error_detail.as_deref(), Some("[secret]"));
}

#[tokio::test]
async fn secrets_of_an_earlier_execution_are_redacted_as_well() {
    let folder = testkit::Folder::new();
    let settings = with_secret(&folder, "hunter2-hunter2");
    let fixture = start_with(&format!("{settings}{}", table("report", "processes = 1"))).await;
    let (go, printed) = (fixture.path("go"), fixture.path("printed"));
    let late = json!({"do": "late", "text": {"$secret": "SMTP"}, "go": go, "printed": printed});
    assert_eq!(how(&fixture.run(late).await), "success");
    let next = fixture.begin(&report(json!({"wait": fixture.path("printed")}))).await;
    fixture.touch("go");
    let row = ended(&fixture.acme.store, next).await;
    assert_eq!(row.output.as_deref(), Some("[secret]\n"));
}

#[tokio::test]
async fn a_process_inherits_only_what_it_may() {
    let more = "folder = '/usr'\nenvironment = { MODE = 'test' }\nlimits = { open_files = 77 }";
    let fixture = start_with(&table("report", more)).await;
    let got = fixture.run(json!({"do": "environment"})).await.result.unwrap();
    assert_eq!((&got["folder"], &got["environment"]["MODE"]), (&json!("/usr"), &json!("test")));
    assert_eq!(got["no_new_privileges"], "1");
    // Input, output, errors and the socket.
    assert_eq!(got["descriptors"], 4);
    let names: Vec<&String> = got["environment"].as_object().unwrap().keys().collect();
    let ours = names.iter().filter(|name| name.starts_with("POLYCHRON_"));
    assert_eq!(ours.collect::<Vec<_>>(), [&"POLYCHRON_PROTOCOL"], "{names:?}");
    assert!(got["environment"]["PATH"].is_string());
}

#[tokio::test]
async fn rust_handlers_and_built_in_types_work_as_well() {
    let fixture = start("").await;
    let row = fixture.acme.run_job(&job("rust", json!(7))).await.unwrap();
    assert_eq!(row.result, Some(json!(7)));
    let payload = json!({"statements": ["SELECT 1"]});
    let row = fixture.acme.run_job(&job("sql", payload)).await.unwrap();
    assert_eq!(how(&row), "success");
    let row = fixture.acme.run_job(&job("mail", json!(null))).await.unwrap();
    assert!(
        how(&row).contains("no handler for job type `mail`") && how(&row).contains("report, rust"),
        "{}",
        how(&row)
    );
}

#[tokio::test]
async fn output_belongs_to_the_running_execution() {
    let fixture = start("").await;
    for number in 0..20 {
        let text = format!("line {number}");
        let row = fixture.run(json!({"do": "say", "text": text})).await;
        let output = row.output.unwrap();
        assert!(output.contains(&format!("{text}\n")), "{output}");
        assert_eq!(output.lines().count(), 3, "only its own: {output}");
    }
}
