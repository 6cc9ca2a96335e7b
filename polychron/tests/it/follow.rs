//! `execution list --follow`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use shared::database_url::DatabaseUrl;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::console::{BOTH, Console};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs until it is stopped, and the lines it writes. Killed when it is dropped.
struct Following {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Following {
    fn start(console: &Console, arguments: &[&str]) -> Following {
        let mut command =
            console.command(&[&["execution", "list", "--follow"], arguments].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Following { child, stdout, stderr }
    }

    /// The next line, as JSON: tenant, job and status.
    #[track_caller]
    fn next(&self) -> (String, String, String) {
        let line = self.stdout.recv_timeout(PATIENCE).expect("a line");
        let row: Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        (text("tenant"), text("job_name"), text("status"))
    }

    /// Waits until it says something on standard error.
    #[track_caller]
    fn says(&self, text: &str) {
        while !self.stderr.recv_timeout(PATIENCE).expect(text).contains(text) {}
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| to.send(line))
    });
    lines
}

fn row(tenant: &str, job: &str, status: &str) -> (String, String, String) {
    (tenant.to_owned(), job.to_owned(), status.to_owned())
}

#[tokio::test]
async fn new_executions_and_changes_of_status_are_shown_as_they_occur() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        for job in ["a", "b"] {
            console
                .run(&["job", "add", "acme", job, "--type", "noop", "--every", "1h"])
                .succeeded();
        }
        let run = |job| console.run(&["job", "run", "acme", job, "-o", "json"]).succeeded().json();
        let first = run("a");
        let all = Following::start(&console, &["--all-tenants", "-o", "jsonl"]);
        let one = Following::start(&console, &["acme", "--job", "b", "-o", "jsonl"]);
        assert_eq!(all.next(), row("acme", "a", "scheduled"));
        run("b");
        assert_eq!(all.next(), row("acme", "b", "scheduled"));
        assert_eq!(one.next(), row("", "b", "scheduled"));
        let cancel = ["execution", "cancel", "acme", first["id"].as_str().unwrap()];
        console.run(&cancel).succeeded();
        assert_eq!(all.next(), row("acme", "a", "cancelled"));
    }
}

#[tokio::test]
async fn a_tenant_whose_database_goes_away_is_followed_again_when_it_is_back() {
    let console = Console::new(BOTH[1]).await;
    let (lost, kept) = (console.database("lost").await, console.database("kept").await);
    for (slug, url) in [("lost", &lost), ("kept", &kept)] {
        console.add_tenant(slug, url, &[]).succeeded();
        console.run(&["job", "add", slug, "a", "--type", "noop", "--every", "1h"]).succeeded();
    }
    let all = Following::start(&console, &["--all-tenants", "-o", "jsonl"]);
    console.run(&["job", "run", "lost", "a"]).succeeded();
    assert_eq!(all.next(), row("lost", "a", "scheduled"));
    open(&lost, &console.control, false).await;
    all.says("lost: retrying");
    console.run(&["job", "run", "kept", "a"]).succeeded();
    assert_eq!(all.next(), row("kept", "a", "scheduled"));
    open(&lost, &console.control, true).await;
    console.run(&["job", "run", "lost", "a"]).succeeded();
    assert_eq!(all.next(), row("lost", "a", "scheduled"));
    all.says("lost: reachable again");
}

#[tokio::test]
async fn a_tenant_that_is_added_later_is_followed_too() {
    let console = Console::with_tenant(BOTH[0]).await;
    let run = |tenant| {
        console.run(&["job", "add", tenant, "a", "--type", "noop", "--every", "1h"]).succeeded();
        console.run(&["job", "run", tenant, "a"]).succeeded();
    };
    run("acme");
    let all = Following::start(&console, &["--all-tenants", "-o", "jsonl"]);
    assert_eq!(all.next(), row("acme", "a", "scheduled"));
    console.add_tenant("late", &console.database("late").await, &[]).succeeded();
    run("late");
    assert_eq!(all.next(), row("late", "a", "scheduled"));
}

#[tokio::test]
async fn it_ends_on_a_signal_and_when_its_output_is_closed() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    console.run(&["job", "run", "acme", "a"]).succeeded();
    let mut interrupted = Following::start(&console, &["acme", "-o", "jsonl"]);
    interrupted.next();
    let pid = rustix::process::Pid::from_child(&interrupted.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(interrupted.child.wait().unwrap().success());

    let mut command = console.command(&["execution", "list", "acme", "--follow"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 2]).unwrap();
    drop(stdout);
    console.run(&["job", "run", "acme", "a"]).succeeded();
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let console = Console::with_tenant(BOTH[0]).await;
    let follow = |more: &[&str]| console.run(&[&["execution", "list", "--follow"], more].concat());
    follow(&["acme", "-o", "json"]).ended(2).says(&["-o jsonl"]);
    follow(&["nobody"]).ended(3);
    follow(&["acme", "--job", "none"]).ended(3);
}

/// Forbids connections to a database and ends its sessions; or allows connections again.
async fn open(database: &DatabaseUrl, control: &DatabaseUrl, is_open: bool) {
    let name = database.expose().rsplit_once('/').unwrap().1;
    let mut connection = PgConnection::connect(control.expose()).await.unwrap();
    let text = format!(r#"ALTER DATABASE "{name}" ALLOW_CONNECTIONS {is_open}"#);
    connection.execute(AssertSqlSafe(text)).await.unwrap();
    let text =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    connection.execute(AssertSqlSafe(text)).await.unwrap();
}
