//! Handler commands that fail, and what operators see of them: in health, metrics and `polychron check`.

use std::net::SocketAddr;

use polychron_tests::{Process, System, due_now, free_address, get, handler_command};
use rustix::process::{Pid, geteuid, test_kill_process};
use serde_json::{Value, json};
use shared::execution::{ErrorKind, Execution, Status};
use shared::handler_status::{HandlerState, HandlerStatus};
use shared::store::{NewJob, Worker};
use testkit::{eventually, execute};

/// A system with a tenant, a producer and a consumer with handler processes.
struct Fixture {
    system: System,
    consumer: Process,
    http: SocketAddr,
    _producer: Process,
}

impl Fixture {
    /// With these tables `[[handlers]]`, each the arguments of `handler.py` and more settings.
    async fn start(tables: &[(&str, &str)]) -> Fixture {
        Fixture::start_as(false, tables).await
    }

    /// The same with a consumer that runs as `nobody`, if this process is root.
    async fn start_as(nobody: bool, tables: &[(&str, &str)]) -> Fixture {
        let (system, http) = (System::new(1).await, free_address());
        let settings = [("POLYCHRON_LEASE", "5s"), ("POLYCHRON_POLL_INTERVAL", "1s")];
        let producer = system.producer(&settings);
        let table = |(arguments, more): &(&str, &str)| {
            let command = handler_command(arguments);
            format!("[[handlers]]\ncommand = '{command}'\n{more}\n")
        };
        let file = system.folder.path("consumer.toml");
        std::fs::write(&file, tables.iter().map(table).collect::<String>()).unwrap();
        let settings = [
            ("POLYCHRON_CONFIG", file.to_str().unwrap()),
            ("POLYCHRON_HANDLERS", ""), // it would replace those of the file
            ("POLYCHRON_HTTP", &http.to_string()),
            ("POLYCHRON_LEASE", "5s"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ];
        let consumer = match nobody {
            false => system.consumer(&settings),
            true => {
                let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(system.folder.path(""), everybody).unwrap();
                let program = testkit::program("polychron-consumer");
                let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
                let arguments = [&ids[..], &[program.to_str().unwrap()]].concat();
                system.program("/usr/bin/setpriv", &arguments, &settings)
            }
        };
        Fixture { system, consumer, http, _producer: producer }
    }

    async fn add(&self, name: &str, job_type: &str, payload: Value, timeout_seconds: i32) {
        let job = NewJob {
            payload,
            max_attempts: 1,
            timeout_seconds: Some(timeout_seconds),
            ..NewJob::new(name, job_type, due_now())
        };
        self.system.tenants[0].store.insert_job(&job).await.unwrap();
    }

    async fn find(&self, name: &str) -> Option<Execution> {
        let rows = self.system.tenants[0].executions().await;
        rows.into_iter().find(|row| row.job_name.as_deref() == Some(name))
    }

    async fn running(&self, name: &str) {
        eventually(&format!("{name} is running"), || async {
            self.find(name).await.filter(|row| row.status == Status::Running).map(|_| ())
        })
        .await;
    }

    async fn ended(&self, name: &str) -> Execution {
        eventually(&format!("{name} has ended"), || async {
            self.find(name).await.filter(|row| row.status.is_final())
        })
        .await
    }

    async fn succeeds(&self, name: &str, job_type: &str, payload: Value) -> i32 {
        self.add(name, job_type, payload, 60).await;
        let row = self.ended(name).await;
        assert_eq!(row.status, Status::Success, "{row:?}");
        row.result.unwrap()["pid"].as_i64().unwrap_or_default() as i32
    }

    /// The commands in health, once they satisfy `is_it`.
    async fn shown(&self, what: &str, is_it: impl Fn(&[HandlerStatus]) -> bool) {
        eventually(what, || async {
            let report = get(self.http, "/health/ready").await?.json();
            let shown: Vec<HandlerStatus> =
                serde_json::from_value(report["handlers"].clone()).ok()?;
            is_it(&shown).then_some(())
        })
        .await;
    }

    /// The consumer's row, once it satisfies `is_it`.
    async fn registered(&self, what: &str, is_it: impl Fn(&Worker) -> bool) {
        eventually(what, || async {
            let since =
                self.system.control.now().await.unwrap() - std::time::Duration::from_secs(45);
            let workers = self.system.control.list_workers(since).await.unwrap();
            workers.iter().find(|worker| is_it(worker)).map(|_| ())
        })
        .await;
    }

    /// What `polychron check` prints.
    async fn check(&self) -> String {
        let mut check = self.system.program("polychron", &["check", "-o", "json"], &[]);
        check.ended().await;
        check.log()
    }

    async fn metrics(&self) -> String {
        get(self.http, "/metrics").await.unwrap().body
    }
}

async fn gone(pid: i32) {
    eventually("the process is gone", || async {
        test_kill_process(Pid::from_raw(pid).unwrap()).is_err().then_some(())
    })
    .await;
}

fn is_not_ready(status: &HandlerStatus, reason: &str) -> bool {
    status.status == HandlerState::NotReady && status.reason.as_deref() == Some(reason)
}

#[tokio::test]
async fn check_shows_each_command_with_its_state_and_last_output() {
    let folder = testkit::Folder::new();
    let go = folder.path("go");
    let failing = format!("--hello die-until={} mail", go.display());
    let fixture = Fixture::start(&[("report", ""), (&failing, "")]).await;
    let reason = "5 processes died within a minute: exited with status 1";
    fixture
        .registered("both are registered", |worker| {
            let [report, mail] = worker.handlers.as_slice() else { return false };
            report.status == HandlerState::Ready
                && is_not_ready(mail, reason)
                && worker.job_types.contains(&"report".to_owned())
                && !worker.job_types.contains(&"mail".to_owned())
        })
        .await;
    let printed = fixture.check().await;
    for expected in ["ready; types: report", reason, "last output: not yet"] {
        assert!(printed.contains(expected), "{expected} is missing: {printed}");
    }
    std::fs::write(&go, "").unwrap();
    // The first row of this consumer did not have the type.
    fixture
        .registered("it is ready", |worker| {
            worker.handlers.iter().all(|command| command.status == HandlerState::Ready)
                && worker.job_types.contains(&"mail".to_owned())
        })
        .await;
    assert!(fixture.check().await.contains("ready; types: mail"));
}

#[tokio::test]
async fn without_hello_only_that_commands_types_wait() {
    let tables = [("--hello never report", "start_timeout = '1s'"), ("mail", "")];
    let fixture = Fixture::start(&tables).await;
    fixture
        .shown("it is not ready", |shown| {
            is_not_ready(&shown[0], "it said no hello within 1 s")
                && shown[1].status == HandlerState::Ready
        })
        .await;
    fixture.add("waits", "report", json!({}), 60).await;
    fixture.succeeds("works", "mail", json!({})).await;
    let waiting = fixture.find("waits").await;
    assert!(waiting.is_none_or(|row| row.started_at.is_none()), "it waits unclaimed");
    assert!(fixture.metrics().await.contains("kind=\"refused\""));
}

#[tokio::test]
async fn a_process_that_says_something_before_hello_is_refused() {
    let fixture = Fixture::start(&[("--hello first-alive report", ""), ("mail", "")]).await;
    let reason = "its first message is not a hello";
    fixture.shown("it is not ready", |shown| is_not_ready(&shown[0], reason)).await;
    fixture.consumer.logged(reason).await;
    fixture.succeeds("works", "mail", json!({})).await;
}

#[tokio::test]
async fn a_process_of_another_version_is_refused_with_both_versions() {
    let fixture = Fixture::start(&[("--hello version report", ""), ("mail", "")]).await;
    let reason = "it speaks version 7 of the protocol, this consumer version 1";
    fixture.shown("it is not ready", |shown| is_not_ready(&shown[0], reason)).await;
    fixture.consumer.logged(reason).await;
    fixture.succeeds("works", "mail", json!({})).await;
}

#[tokio::test]
async fn processes_run_as_the_user_of_the_setting() {
    if !geteuid().is_root() {
        return; // the next test is for everybody else
    }
    let fixture = Fixture::start(&[("report", "user = '65534:65534'\nfolder = '/'")]).await;
    fixture.add("who", "report", json!({"do": "environment"}), 60).await;
    let row = fixture.ended("who").await;
    assert_eq!(row.result.unwrap()["user"], 65534);
}

#[tokio::test]
async fn a_consumer_that_may_not_switch_to_the_user_says_so() {
    let more = "user = '65533:65533'\nfolder = '/'";
    let fixture = Fixture::start_as(geteuid().is_root(), &[("report", more), ("mail", "")]).await;
    let reason = "only root may start programs as another user (65533:65533)";
    let says =
        |status: &HandlerStatus| status.reason.as_ref().is_some_and(|it| it.contains(reason));
    fixture.shown("it is not ready", |shown| says(&shown[0])).await;
    fixture.succeeds("works", "mail", json!({})).await;
}

#[tokio::test]
async fn a_silent_process_is_shown_and_logged_and_never_killed() {
    let fixture = Fixture::start(&[("--alive-ms 1000 report", "processes = 1")]).await;
    let go = fixture.system.folder.path("go");
    fixture.add("quiet", "report", json!({"wait": go}), 60).await;
    fixture.shown("it is silent", |shown| shown[0].silent == 1 && shown[0].running == 1).await;
    fixture.consumer.logged("a handler process is silent").await;
    let silent = "state=\"silent\"} 1";
    assert!(fixture.metrics().await.contains(silent), "{}", fixture.metrics().await);
    std::fs::write(&go, "").unwrap();
    let row = fixture.ended("quiet").await;
    assert_eq!(row.status, Status::Success, "{row:?}");
    fixture.consumer.logged("a handler process is no longer silent").await;
    let pid = row.result.unwrap()["pid"].as_i64().unwrap() as i32;
    assert_eq!(fixture.succeeds("next", "report", json!({})).await, pid, "it was not killed");
}

#[tokio::test]
async fn a_lost_lease_cancels_the_handler_and_then_kills_its_process() {
    let fixture = Fixture::start(&[("report", "processes = 1")]).await;
    let pid = fixture.succeeds("before", "report", json!({})).await;
    let told = fixture.system.folder.path("told");
    fixture.add("lost", "report", json!({"do": "sleep", "seconds": 600, "told": told}), 600).await;
    fixture.running("lost").await;
    let taken = "UPDATE polychron_job_execution
                    SET worker = 'elsewhere', lease_until = now() - interval '1 minute'
                  WHERE status = 'running'";
    execute(&fixture.system.tenants[0].url, taken).await;
    fixture.consumer.logged("the lease was lost").await;
    gone(pid).await;
    assert_eq!(std::fs::read_to_string(&told).unwrap(), "lease_lost");
    // As for Rust handlers: the rescuer ends the row.
    let row = fixture.ended("lost").await;
    assert_eq!((row.status, row.error_kind), (Status::Failed, Some(ErrorKind::Lost)), "{row:?}");
    assert_ne!(fixture.succeeds("after", "report", json!({})).await, pid);
}

#[tokio::test]
async fn the_sessions_of_a_killed_process_tree_are_gone() {
    let fixture = Fixture::start(&[("report", "processes = 1")]).await;
    fixture.add("holds", "report", json!({"do": "query"}), 3).await;
    let tenant = &fixture.system.tenants[0];
    let lock = "SET lock_timeout = '100ms'; LOCK TABLE held";
    eventually("its session holds the lock", || async {
        let refused = testkit::try_execute(&tenant.url, lock).await.err()?.to_string();
        refused.contains("lock timeout").then_some(())
    })
    .await;
    let row = fixture.ended("holds").await;
    assert_eq!(row.error_kind, Some(ErrorKind::Timeout), "{row:?}");
    eventually("its session is gone", || async {
        testkit::try_execute(&tenant.url, &format!("BEGIN; {lock}; COMMIT")).await.ok()
    })
    .await;
}

#[tokio::test]
async fn payloads_that_kill_processes_leave_the_command_ready() {
    const CRASHES: usize = 8;
    let fixture = Fixture::start(&[("report", "processes = 2")]).await;
    fixture.succeeds("before", "report", json!({})).await;
    for number in 0..CRASHES {
        let payload = json!({"do": "kill", "signal": 9});
        fixture.add(&format!("crash-{number}"), "report", payload, 60).await;
    }
    for number in 0..CRASHES {
        let row = fixture.ended(&format!("crash-{number}")).await;
        assert_eq!(row.error_kind, Some(ErrorKind::Crash), "{row:?}");
        let is_ready = |shown: &[HandlerStatus]| shown[0].status != HandlerState::NotReady;
        fixture.shown("it is not `not ready`", is_ready).await;
    }
    fixture.succeeds("after", "report", json!({})).await;
    let metrics = fixture.metrics().await;
    let figure = |name: &str, label: &str| -> f64 {
        let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
        let line = metrics.lines().find(is_it);
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let ends = "polychron_handler_process_ends_total";
    assert_eq!(figure(ends, "kind=\"crash\""), CRASHES as f64, "{metrics}");
    assert_eq!(figure(ends, "kind=\"idle\""), 0.0, "{metrics}");
    assert!(figure("polychron_handler_process_starts_total", "") > CRASHES as f64, "{metrics}");
    assert!(figure("polychron_handler_process_wait_seconds_count", "") > 0.0, "{metrics}");
    let finished = "polychron_executions_finished_total";
    let crash = "error_kind=\"crash\",job_type=\"report\"";
    assert_eq!(figure(finished, crash), CRASHES as f64, "{metrics}");
}
