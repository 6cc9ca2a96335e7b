//! The API against its own document, and its errors.

use serde_json::{Value, json};

use super::server::Server;
use crate::console::{BOTH, Console};

/// Lists where a value differs from its schema.
fn compare(place: &str, value: &Value, schema: &Value, document: &Value, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]).unwrap();
        return compare(place, value, schema, document, found);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = |schema: &Value| {
            let mut differences = Vec::new();
            compare(place, value, schema, document, &mut differences);
            differences.is_empty()
        };
        if !any.iter().any(fits) {
            found.push(format!("{place}: {value} is none of {any:?}"));
        }
        return;
    }
    let is_of_kind = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some(other) => panic!("{place}: {other}"),
    };
    if !is_of_kind {
        found.push(format!("{place}: {value} is no {}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{place}: {value} is none of {words:?}"));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        compare(&format!("{place}[{at}]"), item, &schema["items"], document, found);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    for name in schema["required"].as_array().unwrap() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        match properties.get(name) {
            Some(schema) => compare(&format!("{place}.{name}"), field, schema, document, found),
            None => found.push(format!("{place}: {name} is not documented")),
        }
    }
}

/// A body for each operation that wants one.
fn body(id: &str) -> Value {
    match id {
        "addJob" => json!({"name": "new", "job_type": "noop", "schedule": {"every": "1h"}}),
        "editJob" => json!({"timeout_seconds": null, "max_attempts": 5}),
        "editTenant" => json!({"max_running": 7}),
        "runJob" => json!({"payload": [1]}),
        _ => json!({"reason": "because"}),
    }
}

#[tokio::test]
async fn every_operation_answers_as_the_document_says() {
    for backend in BOTH {
        let mut console = Console::with_tenant(backend).await;
        console.set("AMQP_URL", &testkit::virtual_host().await);
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        console.run(&["job", "add", "acme", "z", "--type", "noop", "--every", "1h"]).succeeded();
        let run = console.run(&["job", "run", "acme", "a", "-o", "json"]).succeeded().json();
        let id = run["id"].as_str().unwrap();
        let server = Server::start(&console);
        let document = server.get("/api/v1/openapi.json").ended(200).value();
        let mut requests = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, documented) in operations.as_object().unwrap() {
                let operation = documented["operationId"].as_str().unwrap();
                // Operations that delete use objects that the others do not need.
                let job = if operation == "deleteJob" { "z" } else { "a" };
                let path = path.replace("{tenant}", "acme").replace("{job}", job);
                let query =
                    if operation == "previewSchedule" { "?expression=0+2+*+*+*" } else { "" };
                let path = format!("{}{query}", path.replace("{execution}", id));
                let (headers, body) = match method.as_str() {
                    "get" => (vec![], String::new()),
                    _ => (
                        vec!["Content-Type: application/json", "If-Match: *"],
                        body(operation).to_string(),
                    ),
                };
                let method = method.to_uppercase();
                let answer = server.send(&method, &path, &headers, &body);
                let success = documented["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .find(|key| key.starts_with('2'));
                let success = success.unwrap();
                assert_eq!(&answer.status.to_string(), success, "{operation}: {answer:#?}");
                let schema =
                    &documented["responses"][success]["content"]["application/json"]["schema"];
                let mut differences = Vec::new();
                compare(operation, &answer.value(), schema, &document, &mut differences);
                assert!(differences.is_empty(), "{backend:?}: {differences:#?}");
                requests += 1;
            }
        }
        assert!(requests >= 25, "{requests}");
    }
}

#[tokio::test]
async fn a_page_of_large_items_ends_early_and_the_next_goes_on() {
    let console = Console::with_tenant(BOTH[0]).await;
    let server = Server::start(&console);
    // As large as payloads may be; their executions hold them, too.
    let payload = json!("x".repeat(60_000));
    for n in 0..45 {
        let job = json!({"name": format!("job {n:02}"), "job_type": "noop", "schedule": {"every": "1h"}, "payload": payload});
        server.json("POST", "/api/v1/tenants/acme/jobs", &job).ended(201);
        let run = format!("/api/v1/tenants/acme/jobs/job%20{n:02}/run");
        server.json("POST", &run, &json!({"payload": payload})).ended(201);
    }
    for (list, key, more) in [("jobs", "name", "after"), ("executions", "id", "before")] {
        let (mut seen, mut next, mut pages) = (std::collections::BTreeSet::new(), String::new(), 0);
        loop {
            let path = format!("/api/v1/tenants/acme/{list}?limit=500{next}");
            let page = server.get(&path).ended(200);
            assert!(page.body.len() < 2_200_000, "{list}: {}", page.body.len());
            let page = page.value();
            for item in page["items"].as_array().unwrap() {
                assert!(seen.insert(item[key].as_str().unwrap().to_owned()), "twice: {item}");
            }
            pages += 1;
            let Some(after) = page["next"].as_str() else { break };
            next = format!("&{more}={}", after.replace(' ', "%20"));
        }
        assert_eq!((seen.len(), pages), (45, 2), "{list}");
    }
}

#[tokio::test]
async fn errors_are_problem_details() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        let jobs = "/api/v1/tenants/acme/jobs";
        for (path, status, detail) in [
            ("/api/v1/nowhere", 404, "nothing at this address"),
            ("/api/v1/tenants/nobody", 404, "no tenant is called `nobody`"),
            ("/api/v1/tenants/acme/jobs/none", 404, "no job `none`"),
            ("/api/v1/tenants/acme/jobs?limit=0", 400, "1 to 500"),
            ("/api/v1/tenants/acme/jobs?limit=501", 400, "1 to 500"),
            ("/api/v1/tenants/acme/jobs?limit=x", 400, "limit"),
            ("/api/v1/tenants/acme/executions?status=done", 400, "done"),
            ("/api/v1/tenants/acme/executions?before=x", 400, "before"),
            ("/api/v1/tenants/acme/executions?job=none", 404, "no job `none`"),
            ("/api/v1/tenants/acme/executions/x", 400, "x"),
            ("/api/v1/schedule/preview?expression=61+*+*+*+*", 400, "61"),
            ("/api/v1/schedule/preview", 400, "expression"),
        ] {
            server.get(path).shows_problem(status, detail);
        }
        let job = |more: Value| {
            let mut job = json!({"name": "b", "job_type": "noop", "schedule": {"every": "1h"}});
            job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            job
        };
        for (body, status, detail) in [
            (json!({"name": "b"}), 400, "a name, a job_type and a schedule"),
            (job(json!({"name": "a"})), 409, "has a job `a` already"),
            (job(json!({"schedule": {"cron": "0 25 * * *"}})), 400, "hour 25"),
            (job(json!({"schedule": "0 2 * * *"})), 400, "schedule"),
            (job(json!({"overlap_policy": "maybe"})), 400, "maybe"),
            (job(json!({"queue": "No Such"})), 422, "queue is 1 to 64 of a-z"),
            (job(json!({"max_attempts": 101})), 422, "max_attempts is 1 to 100"),
            (job(json!({"tiemout": 1})), 400, "tiemout"),
            (job(json!({"payload": "x".repeat(70_000)})), 422, "64 KiB"),
        ] {
            server.json("POST", jobs, &body).shows_problem(status, detail);
        }
        let json_type = ["Content-Type: application/json"];
        server.send("POST", jobs, &json_type, "{secret").shows_problem(400, "the body");
        server
            .send("POST", jobs, &["Content-Type: text/plain"], "{}")
            .shows_problem(415, "application/json");
        server.send("POST", jobs, &json_type, &" ".repeat(300_000)).shows_problem(413, "");
        server.send("PUT", jobs, &json_type, "{}").shows_problem(405, "method not allowed");
    }
}

#[tokio::test]
async fn no_concurrent_update_is_lost() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        let path = "/api/v1/tenants/acme/jobs/a";
        let patch = |tag: &str, body: Value| {
            let tag = format!("If-Match: {tag}");
            server.send("PATCH", path, &["Content-Type: application/json", &tag], &body.to_string())
        };
        let tag = server.get(path).ended(200).header("etag").unwrap().to_owned();
        assert_eq!(tag, "\"1\"");
        let edited = patch(&tag, json!({"schedule": {"every": "2h"}})).ended(200);
        assert_eq!(edited.header("etag"), Some("\"2\""));
        patch(&tag, json!({"max_attempts": 1})).shows_problem(412, "now at version 2");
        patch("2", json!({"max_attempts": 1})).shows_problem(400, "names no version");
        patch("\"2\"", json!({})).shows_problem(400, "nothing to change");
        patch("\"2\"", json!({"name": "b"})).shows_problem(400, "keeps its name");
        server.json("PATCH", path, &json!({"max_attempts": 1})).shows_problem(428, "If-Match");
        patch("*", json!({"timeout_seconds": 60})).ended(200);
        let job =
            patch("*", json!({"timeout_seconds": null, "payload": {"n": 1}})).ended(200).value();
        assert_eq!(job["version"], 4);
        assert_eq!((&job["timeout_seconds"], &job["max_attempts"]), (&Value::Null, &json!(3)));
        assert_eq!(
            (&job["schedule"], &job["payload"]),
            (&json!({"every": "2h"}), &json!({"n": 1}))
        );
        // The schedule is a merge patch, too.
        let zoned = json!({"schedule": {"cron": "0 9 * * *", "timezone": "Europe/London"}});
        patch("*", zoned).ended(200);
        let edited = patch("*", json!({"schedule": {"cron": "30 9 * * *"}})).ended(200).value();
        let expected = json!({"cron": "30 9 * * *", "timezone": "Europe/London"});
        assert_eq!(edited["schedule"], expected);
        let change = &edited["schedule_change"];
        assert_eq!(change["kept"], json!([r#"timezone "Europe/London""#]));
        assert_eq!(change["after"]["words"], json!("at 09:30 every day, London time"));
        let edited = patch("*", json!({"schedule": {"timezone": null}})).ended(200).value();
        assert_eq!(edited["schedule"], json!({"cron": "30 9 * * *"}));
        patch("*", json!({"schedule": {}})).shows_problem(400, "names no field");
    }
}
