//! Consumers with handler processes, as operators see them.

use std::net::SocketAddr;

use polychron_tests::{Process, System, due_now, free_address, get, handler_command};
use rustix::process::Signal;
use serde_json::{Value, json};
use shared::execution::{Execution, Status};
use shared::store::NewJob;
use testkit::{Folder, eventually};

fn consumer(system: &System, handlers: &str) -> (Process, SocketAddr) {
    let address = free_address();
    let http = address.to_string();
    let settings = [("POLYCHRON_HTTP", http.as_str())];
    (system.program("polychron-consumer", &["--handlers", handlers], &settings), address)
}

async fn add(system: &System, name: &str, payload: Value) {
    let job = NewJob { payload, max_attempts: 1, ..NewJob::new(name, "report", due_now()) };
    system.tenants[0].store.insert_job(&job).await.unwrap();
}

/// The command's entry in health, once it has this status.
async fn shown(address: SocketAddr, status: &str) -> Value {
    eventually(&format!("the command is {status}"), || async {
        let report = get(address, "/health/ready").await?.json();
        let command = report["handlers"].as_array()?.first()?.clone();
        (command["status"] == status).then(|| {
            let overall = if status == "ready" { "ready" } else { "degraded" };
            assert!(report["status"] == overall || report["status"] == "not ready", "{report}");
            command
        })
    })
    .await
}

async fn ended(system: &System, name: &str) -> Execution {
    eventually(&format!("{name} has ended"), || async {
        let rows = system.tenants[0].executions().await;
        rows.into_iter().find(|row| row.job_name.as_deref() == Some(name) && row.status.is_final())
    })
    .await
}

async fn running(system: &System, name: &str) {
    eventually(&format!("{name} is running"), || async {
        let rows = system.tenants[0].executions().await;
        let is_it = |row: &&Execution| row.job_name.as_deref() == Some(name);
        rows.iter().find(is_it).filter(|row| row.status == Status::Running).map(|_| ())
    })
    .await;
}

fn pid(row: &Execution) -> i64 {
    assert_eq!(row.status, Status::Success, "{row:?}");
    row.result.as_ref().unwrap()["pid"].as_i64().unwrap()
}

#[tokio::test]
async fn health_shows_each_command_and_why_it_is_not_ready() {
    let (system, folder) = (System::new(1).await, Folder::new());
    let go = folder.path("go");
    let command = handler_command(&format!("--hello die-until={} report", go.display()));
    let _producer = system.producer(&[]);
    let (_consumer, address) = consumer(&system, &command);
    add(&system, "waits", json!({})).await;
    let shown_then = shown(address, "not ready").await;
    assert_eq!(shown_then["command"].as_str().unwrap()[..12], command[..12]);
    assert_eq!(shown_then["reason"], "5 processes died within a minute: exited with status 1");
    assert_eq!((&shown_then["last_output"], &shown_then["types"]), (&json!("not yet"), &json!([])));
    let rows = system.tenants[0].executions().await;
    assert!(rows.iter().all(|row| row.started_at.is_none()), "it waits unclaimed");
    std::fs::write(&go, "").unwrap();
    let row = ended(&system, "waits").await;
    assert_eq!((row.status, row.attempt), (Status::Success, 1));
    assert_eq!(shown(address, "ready").await["types"], json!(["report"]));
}

#[tokio::test]
async fn two_commands_that_claim_one_type_are_an_error_that_names_both() {
    let system = System::new(0).await;
    let (first, second) = (handler_command("a report"), handler_command("report b"));
    let (mut process, _) = consumer(&system, &format!("{first}\n{second}"));
    assert_eq!(process.ended().await.code(), Some(1));
    let log = process.log();
    assert!(log.contains("job type `report` is claimed by both"), "{log}");
    assert!(log.contains("handler.py a report`") && log.contains("handler.py report b`"), "{log}");
    let (mut process, _) = consumer(&system, &handler_command("http"));
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(process.log().contains("a handler in this program"), "{}", process.log());
}

#[tokio::test]
async fn sighup_loads_new_code_and_interrupts_nothing() {
    let (system, folder) = (System::new(1).await, Folder::new());
    let (go, types) = (folder.path("go"), folder.path("types"));
    std::fs::write(&types, "report").unwrap();
    let command = handler_command(&format!("--hello types-in={}", types.display()));
    let _producer = system.producer(&[]);
    let (process, address) = consumer(&system, &command);
    add(&system, "before", json!({})).await;
    let before = pid(&ended(&system, "before").await);

    // New code that does not start: the old goes on.
    std::fs::remove_file(&types).unwrap();
    process.signal(Signal::HUP);
    process.logged("handler processes restart").await;
    process.logged("an idle handler process died").await;
    add(&system, "still", json!({})).await;
    assert_eq!(pid(&ended(&system, "still").await), before);

    add(&system, "meanwhile", json!({"wait": go})).await;
    running(&system, "meanwhile").await;
    std::fs::write(&types, "report mail").unwrap();
    eventually("the new code is loaded", || async {
        let report = get(address, "/health/ready").await?.json();
        (report["handlers"][0]["types"] == json!(["mail", "report"])).then_some(())
    })
    .await;
    add(&system, "after", json!({})).await;
    assert_ne!(pid(&ended(&system, "after").await), before);
    std::fs::write(&go, "").unwrap();
    assert_eq!(pid(&ended(&system, "meanwhile").await), before, "it was not interrupted");
    eventually("the old process has exited", || async {
        (!std::path::Path::new(&format!("/proc/{before}")).exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_handler_processes_have_started_dies_with_a_killed_consumer() {
    let (system, folder) = (System::new(1).await, Folder::new());
    let name = folder.path("").display().to_string(); // which no other process has in its arguments
    let _producer = system.producer(&[]);
    let (process, _) = consumer(&system, &handler_command("report"));
    add(&system, "long", json!({"do": "ignore", "name": name})).await;
    eventually("its child runs", || async { is_in_arguments(&name).then_some(()) }).await;
    process.kill();
    eventually("its child is dead", || async { (!is_in_arguments(&name)).then_some(()) }).await;
}

/// Whether a process has this text in its arguments.
fn is_in_arguments(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_and_ends_the_processes() {
    let (system, folder) = (System::new(1).await, Folder::new());
    let go = folder.path("go");
    let _producer = system.producer(&[]);
    let (mut process, _) = consumer(&system, &handler_command("report"));
    add(&system, "last", json!({"wait": go})).await;
    running(&system, "last").await;
    process.signal(Signal::TERM);
    process.logged("asked to stop").await;
    std::fs::write(&go, "").unwrap();
    assert!(process.ended().await.success());
    let pid = pid(&ended(&system, "last").await);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "its process has ended");
    assert!(!process.log().contains("an idle handler process died"), "{}", process.log());
}
