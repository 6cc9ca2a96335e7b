//! One execution is one trace across producer and consumer, as a collector receives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use polychron_tests::{System, due_now};
use serde_json::{Value, json};
use shared::store::NewJob;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A collector that keeps each span with its service.
async fn collector() -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let spans: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let kept = spans.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            let body = loop {
                let mut bytes = [0; 8192];
                let read = stream.read(&mut bytes).await.unwrap();
                assert!(read > 0, "half a request: {text}");
                text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.unwrap().parse::<usize>().unwrap() {
                    break serde_json::from_str::<Value>(body).unwrap();
                }
            };
            let of_service = &body["resourceSpans"][0];
            let service = &of_service["resource"]["attributes"][0]["value"]["stringValue"];
            let found = of_service["scopeSpans"][0]["spans"].as_array().unwrap();
            let service = service.as_str().unwrap().to_owned();
            kept.lock().unwrap().extend(found.iter().map(|span| (service.clone(), span.clone())));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
    });
    (url, spans)
}

#[tokio::test]
async fn an_execution_is_one_trace_from_its_time_to_its_result() {
    let (url, spans) = collector().await;
    let (system, settings) =
        (System::new(1).await, [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())]);
    let tenant = &system.tenants[0];
    let job = NewJob {
        max_attempts: 1,
        payload: json!({"message": "a secret reason"}),
        ..NewJob::new("report", "fail", due_now())
    };
    tenant.store.insert_job(&job).await.unwrap();
    let _running = (system.producer(&settings), system.consumer(&settings));
    let all = eventually("all spans have come", || async {
        let all = spans.lock().unwrap().clone();
        (all.len() >= 5).then_some(all)
    })
    .await;
    let row = &tenant.executions().await[0];
    let trace = row.id.to_string().replace('-', "");
    let by_name: BTreeMap<&str, &(String, Value)> =
        all.iter().map(|it| (it.1["name"].as_str().unwrap(), it)).collect();
    assert_eq!(
        by_name.keys().copied().collect::<Vec<_>>(),
        ["claim", "due", "finish", "handle", "publish"]
    );
    let root = &by_name["due"].1;
    assert_eq!(root["spanId"], trace[16..]);
    assert!(root.get("parentSpanId").is_none());
    let micros = |time: &Value| time.as_str().unwrap().parse::<i64>().unwrap() / 1000;
    assert_eq!(micros(&root["startTimeUnixNano"]), row.scheduled_for.timestamp_micros());
    for (name, (service, span)) in &by_name {
        assert_eq!(span["traceId"], trace, "{name}");
        assert!(micros(&span["startTimeUnixNano"]) <= micros(&span["endTimeUnixNano"]), "{span}");
        let expected = match *name {
            "due" | "publish" => "polychron-producer",
            _ => "polychron-consumer",
        };
        assert_eq!(service, expected, "{name}");
        if *name != "due" {
            assert_eq!(span["parentSpanId"], root["spanId"], "{name}");
            assert_ne!(span["spanId"], root["spanId"], "{name}");
        }
    }
    assert_eq!(by_name["handle"].1["status"], json!({"code": 2, "message": "handler"}));
    assert_eq!(
        (&by_name["publish"].1["kind"], &by_name["handle"].1["kind"]),
        (&json!(4), &json!(5))
    );
    assert!(!format!("{all:?}").contains("secret"), "what it failed of stays in the row");
}
