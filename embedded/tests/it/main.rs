//! Whole jobs on the embedded engine: output, results and errors of handlers in their rows.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::time::Duration;

use consumer::{Context, HandlerError, Registry};
use polychron_embedded::testing::{TestEngine, TestTenant};
use serde_json::{Value, json};
use shared::config::{Config, Sources};
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::notification::NOTIFIER;
use shared::store::{JobEdit, NewJob};
use testkit::{Folder, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

const SECRET: &str = "correct-horse-battery";

fn job(name: &str, job_type: &str, payload: Value) -> NewJob {
    NewJob { payload, ..NewJob::new(name, job_type, json!({"at": "2026-11-24T12:00:00Z"})) }
}

/// The row of a job's only execution, once it meets a condition.
async fn row(tenant: &TestTenant, job: &str, condition: impl Fn(&Execution) -> bool) -> Execution {
    eventually("the row meets the condition", || async {
        let rows = tenant.executions(job).await.unwrap();
        rows.into_iter().find(|row| condition(row))
    })
    .await
}

#[tokio::test]
async fn output_and_progress_are_visible_while_a_handler_runs() {
    let (go_on, wait) = watch::channel(false);
    let mut handlers = Registry::default();
    handlers.insert("count", move |_: Value, context: Context| {
        let mut wait = wait.clone();
        async move {
            context.log("counting");
            context.progress(3, 10, "sheep");
            wait.wait_for(|go_on| *go_on).await?;
            context.log("done");
            context.progress(10, 10, "");
            Ok::<_, HandlerError>(())
        }
    });
    let engine = TestEngine::start(handlers).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    acme.store.insert_job(&job("count", "count", json!({}))).await.unwrap();
    let running = row(&acme, "count", |row| row.output.is_some()).await;
    assert_eq!(running.status, Status::Running);
    assert_eq!(running.output.as_deref(), Some("counting\n"));
    assert_eq!(running.progress, Some(json!({"done": 3, "total": 10, "message": "sheep"})));
    go_on.send(true).unwrap();
    let done = row(&acme, "count", |row| row.status.is_final()).await;
    assert_eq!(done.output.as_deref(), Some("counting\ndone\n"));
    assert_eq!(done.progress, Some(json!({"done": 10, "total": 10, "message": ""})));
}

#[tokio::test]
async fn a_secret_reaches_the_handler_and_no_row() {
    let folder = Folder::new();
    let (file, list) = (folder.path("secret"), folder.path("secrets.toml"));
    std::fs::write(&file, SECRET).unwrap();
    let text = format!("[TOKEN]\nfile = \"{}\"\ntenants = [\"acme\"]\n", file.display());
    std::fs::write(&list, text).unwrap();
    let environment = [("POLYCHRON_SECRETS".to_owned(), list.display().to_string())];
    let sources = Sources { environment: environment.into(), ..Sources::default() };
    let config = Config::read(&sources, &[]).unwrap();

    let mut handlers = Registry::default();
    handlers.insert("tell", |token: String, context: Context| async move {
        assert_eq!(token, SECRET, "the handler has it");
        context.log(&token);
        context.progress(1, None, &token);
        Ok::<_, HandlerError>(json!({ "token": token }))
    });
    handlers.insert("fail", |token: String, _: Context| async move {
        Err::<(), _>(HandlerError::new(token.clone()).with_detail(token).final_())
    });
    handlers.insert("panic", |token: String, _: Context| async move {
        if !token.is_empty() {
            panic!("{token}");
        }
        Ok::<_, HandlerError>(())
    });
    handlers.insert("misread", |_: Vec<u8>, _: Context| async { Ok::<_, HandlerError>(()) });
    let engine = TestEngine::start_with(handlers, config).await.unwrap();
    let (acme, globex) =
        (engine.add_tenant("acme").await.unwrap(), engine.add_tenant("globex").await.unwrap());
    for job_type in ["tell", "fail", "panic", "misread"] {
        let once =
            NewJob { max_attempts: 1, ..job(job_type, job_type, json!({"$secret": "TOKEN"})) };
        let row = acme.run_job(&once).await.unwrap();
        let whole = format!("{row:?}");
        assert!(whole.contains("[secret]") && !whole.contains("horse"), "{whole}");
        assert_eq!(row.payload, Some(json!({"$secret": "TOKEN"})));
        let refused = globex.run_job(&once).await.unwrap();
        let message = refused.error_message.unwrap();
        assert!(message.starts_with("payload: this tenant has no secret `TOKEN`"), "{message}");
    }
}

#[tokio::test]
async fn a_retry_follows_the_receivers_retry_after() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let busy = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
        for answer in [busy, "HTTP/1.1 204 Fine\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let environment = [("POLYCHRON_HTTP_ALLOW".to_owned(), "127.0.0.1".to_owned())];
    let sources = Sources { environment: environment.into(), ..Sources::default() };
    let config = Config::read(&sources, &[]).unwrap();
    let engine = TestEngine::start_with(Registry::default(), config).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    // By its backoff alone it would wait for up to an hour.
    let payload = json!({"url": format!("http://{address}/")});
    let patient = NewJob { retry_base_seconds: 3600, ..job("call", "http", payload) };
    let last = acme.run_job(&patient).await.unwrap();
    assert_eq!((last.status, last.attempt, last.trigger), (Status::Success, 2, Trigger::Retry));
    let first = acme.executions("call").await.unwrap().pop().unwrap();
    assert_eq!(first.error_message.as_deref(), Some("127.0.0.1 answered 503"));
    let waited = last.available_at.unwrap() - first.finished_at.unwrap();
    assert_eq!(waited.to_std().unwrap(), Duration::from_secs(1));
}

#[tokio::test]
async fn errors_are_in_the_row() {
    let mut handlers = Registry::default();
    handlers.insert_blocking("add", |numbers: Vec<i64>, context: Context| {
        context.log("adding");
        Ok(numbers.iter().sum::<i64>())
    });
    let engine = TestEngine::start(handlers).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    let sum = acme.run("add", json!([1, 2, 3])).await.unwrap();
    assert_eq!((sum.result, sum.output.as_deref()), (Some(json!(6)), Some("adding\n")));
    let once = NewJob { max_attempts: 1, ..job("bad", "add", json!([1, "2"])) };
    let bad = acme.run_job(&once).await.unwrap();
    assert_eq!(bad.error_kind, Some(ErrorKind::Handler));
    let message = bad.error_message.unwrap();
    assert!(message.starts_with("payload[1] cannot be read"), "{message}");
    let unknown = NewJob { max_attempts: 1, ..job("unknown", "mail", json!({})) };
    let unknown = acme.run_job(&unknown).await.unwrap();
    assert_eq!(unknown.error_kind, Some(ErrorKind::UnknownType));
    let message = unknown.error_message.unwrap();
    assert_eq!(
        message,
        "no handler for job type `mail`; this consumer knows add, http, notification, sql"
    );
    consumer::testing::use_launcher(&testkit::program("polychron-consumer"));
    let sql =
        job("sql", "sql", json!({"statements": ["UPDATE polychron_job SET queue = 'default'"]}));
    let done = acme.run_job(&sql).await.unwrap();
    assert_eq!(done.result.unwrap()["rows_affected"], 4);
}

#[tokio::test]
async fn a_failure_is_notified_to_the_tenants_target() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let environment = [("POLYCHRON_HTTP_ALLOW".to_owned(), "127.0.0.1".to_owned())];
    let sources = Sources { environment: environment.into(), ..Sources::default() };
    let config = Config::read(&sources, &[]).unwrap();
    let handlers = consumer::known_types(&config, &shared::clock::Clock::System);
    let engine = TestEngine::start_with(handlers, config).await.unwrap();
    let acme = engine.add_tenant("acme").await.unwrap();
    acme.store.insert_notifier().await.unwrap();
    let target = JobEdit { payload: Some(json!({"url": url})), ..JobEdit::default() };
    let now = acme.store.now().await.unwrap();
    assert!(acme.store.edit_job(NOTIFIER, None, &target, now).await.unwrap());
    let odd = NewJob { max_attempts: 1, ..job("odd", "no-such-type", json!({})) };
    let failed = acme.run_job(&odd).await.unwrap();
    assert_eq!(failed.error_kind, Some(ErrorKind::UnknownType));

    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = String::new();
    while !request.ends_with('}') {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        request.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["event"], &body["tenant"]), (&json!("failed"), &json!("acme")));
    assert_eq!(body["error_kind"], "unknown_type");
    let notified = row(&acme, NOTIFIER, |row| row.status.is_final()).await;
    assert_eq!(notified.result.unwrap()["status"], 200);
}
