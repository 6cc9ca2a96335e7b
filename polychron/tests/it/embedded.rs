//! The engine in one process: `demo` and `up`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use testkit::eventually;

use crate::console::{Backend, Console};

/// `polychron up`, killed when it is dropped.
struct Up(Child);

impl Up {
    fn start(console: &Console) -> Up {
        Up::start_with(console, &[])
    }

    fn start_with(console: &Console, more: &[&str]) -> Up {
        let child = Command::new(env!("CARGO_BIN_EXE_polychron"))
            .args(["up", "--data", &console.folder.path("").display().to_string()])
            .args(more)
            .env_clear()
            .envs([("POLYCHRON_DIAGNOSTICS", "on"), ("POLYCHRON_LEASE", "4s")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Up(child.unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_demo_shows_each_outcome_of_a_job_and_a_summary() {
    let console = Console::bare(Backend::Sqlite).await;
    let folder = console.folder.path("demo").display().to_string();
    let answer = console.run(&["demo", "--for", "12s", "--data", &folder]).succeeded();
    for word in ["success", "failed", "will retry", "timeout", "panic", "started"] {
        assert!(answer.stdout.contains(word), "{word} is missing in\n{}", answer.stdout);
    }
    assert!(!answer.stdout.contains('\x1b'), "plain when it is not a terminal");
    let (_, summary) = answer.stdout.split_once("worst lateness\n").unwrap();
    assert_eq!(summary.lines().count(), 3, "{summary}");
    for line in summary.lines() {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [runs, successes, failures, _skipped, _late] = numbers[..] else { panic!("{line}") };
        assert!(runs > 0 && successes + failures <= runs, "{line}");
    }
    // A second demo in the same folder starts anew.
    console.run(&["demo", "--for", "1s", "--data", &folder]).succeeded();
}

#[tokio::test]
async fn a_tenant_that_is_added_while_the_engine_is_up_is_served() {
    let console = Console::new(Backend::Sqlite).await;
    let _up = Up::start(&console);
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    console.run(&["job", "add", "acme", "tick", "--type", "noop", "--every", "1s"]).succeeded();
    let store = console.store("acme").await;
    eventually("the job has run by its schedule", || async {
        let rows = store.list_executions(&Default::default(), 9).await.unwrap();
        rows.iter().any(|row| row.result.is_some()).then_some(())
    })
    .await;
    console.run(&["job", "run", "acme", "tick", "--wait"]).succeeded();
}

#[tokio::test]
async fn handlers_of_other_languages_run_and_are_shown() {
    let console = Console::with_tenant(Backend::Sqlite).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/fixtures/handler.py");
    let command = format!("/usr/bin/python3 {script} report");
    let _up =
        Up::start_with(&console, &["--handlers", &format!("{command}\n/nonexistent/program")]);
    let add = ["job", "add", "acme", "monthly", "--type", "report", "--every", "365d"];
    console
        .run(&[&add[..], &["--payload", r#"{"do": "say", "text": "hello"}"#]].concat())
        .succeeded();
    console.run(&["job", "run", "acme", "monthly", "--wait"]).succeeded();
    let store = console.store("acme").await;
    let rows = store.list_executions(&Default::default(), 9).await.unwrap();
    assert_eq!(rows[0].result, Some(serde_json::json!({"text": "hello"})), "{rows:#?}");
    eventually("check shows both commands", || async {
        let report = console.run(&["check", "-o", "json"]).stdout;
        let ready =
            report.contains("handler.py report` at") && report.contains("ready; types: report");
        (ready && report.contains("not ready: there is no file /nonexistent/program")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_folder_has_one_engine_and_survives_its_death() {
    let console = Console::with_tenant(Backend::Sqlite).await;
    let folder = console.folder.path("").display().to_string();
    let add = ["job", "add", "acme", "long", "--type", "sleep", "--payload", r#"{"seconds": 3}"#];
    console.run(&[&add[..], &["--at", "2026-01-01T00:00:00Z"]].concat()).succeeded();
    let up = Up::start(&console);
    let store = console.store("acme").await;
    let running = || async {
        let rows = store.list_executions(&Default::default(), 9).await.unwrap();
        rows.iter().any(|row| row.started_at.is_some()).then_some(())
    };
    eventually("the job runs", running).await;
    let second = console.run(&["up", "--data", &folder]).ended(1);
    assert!(second.stderr.contains("another process uses the data folder"), "{}", second.stderr);

    drop(up); // killed, as by a power cut
    let _up = Up::start(&console);
    let rows = eventually("the next attempt has succeeded", || async {
        let rows = store.list_executions(&Default::default(), 9).await.unwrap();
        rows[0].result.is_some().then_some(rows)
    })
    .await;
    assert_eq!((rows.len(), rows[0].attempt), (2, 2), "{rows:#?}");
}

#[tokio::test]
async fn a_demo_deletes_only_data_of_a_demo() {
    let console = Console::with_tenant(Backend::Sqlite).await;
    let folder = console.folder.path("").display().to_string();
    let refused = console.run(&["demo", "--for", "1s", "--data", &folder]).ended(1);
    refused.says(&["nothing was deleted", "choose another folder with --data"]);
    console.run(&["job", "list", "acme"]).succeeded();
}

/// Everything that is created or used may hold URLs with passwords.
#[tokio::test]
async fn files_are_for_their_owner_only_whatever_the_umask_and_the_mode_before() {
    let console = Console::bare(Backend::Sqlite).await;
    let run = |arguments: &[&str], input: &str| {
        let mut command = Command::new("/bin/sh");
        let script =
            r#"umask 0; program=$1 input=$2; shift 2; printf %s "$input" | "$program" "$@""#;
        command
            .args(["-c", script, "-", env!("CARGO_BIN_EXE_polychron"), input])
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", console.control.expose());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let control = console.folder.path("control.db");
    run(&["migrate"], "");
    assert_eq!(format!("{:o}", mode(&control)), "600", "created");
    std::fs::set_permissions(&control, std::fs::Permissions::from_mode(0o644)).unwrap();
    run(&["migrate"], "");
    assert_eq!(format!("{:o}", mode(&control)), "600", "corrected");

    let (new, shared) = (console.folder.path("acme.db"), console.folder.path("globex.db"));
    run(&["tenant", "add", "acme"], &format!("sqlite://{}", new.display()));
    assert_eq!(format!("{:o}", mode(&new)), "600");
    // The application's own file, which programs of other users may open, stays as it is.
    std::fs::write(&shared, "").unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o660)).unwrap();
    run(&["tenant", "add", "globex"], &format!("sqlite://{}", shared.display()));
    assert_eq!(format!("{:o}", mode(&shared)), "660");

    let data = console.folder.path("data");
    run(&["demo", "--for", "1s", "--no-dashboard", "--data", &data.display().to_string()], "");
    let all = [data.clone(), data.join("tenants")].map(|folder| {
        assert_eq!(format!("{:o}", mode(&folder)), "700", "{}", folder.display());
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
    });
    let files: Vec<_> = all.into_iter().flatten().filter(|path| path.is_file()).collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        assert_eq!(format!("{:o}", mode(&file)), "600", "{}", file.display());
    }
}

#[tokio::test]
async fn what_became_of_a_planned_time_is_explained_by_the_rows() {
    let console = Console::bare(Backend::Sqlite).await;
    let folder = console.folder.path("demo");
    let data = folder.display().to_string();
    console.run(&["demo", "--for", "9s", "--no-dashboard", "--data", &data]).succeeded();
    let mut console = console;
    console.set("DATABASE_URL", &format!("sqlite://{data}/control.db"));
    let list = console.run(&["execution", "list", "initech", "-o", "json"]).succeeded().json();
    let failed = list.as_array().unwrap().iter().find(|row| row["status"] == "failed").unwrap();
    let (job, at) =
        (failed["job_name"].as_str().unwrap(), failed["scheduled_for"].as_str().unwrap());
    let explain = |at: &str| {
        let answer = console.run(&["job", "explain", "initech", job, "--at", at, "-o", "json"]);
        answer.succeeded().json().to_string()
    };
    assert!(explain(at).contains(&format!("{}, started", failed["status"].as_str().unwrap())));
    assert!(explain("2026-01-01T00:00:00.5Z").contains("doesn't name"));
    assert!(
        explain("1970-01-12T13:46:39Z").contains(" from "),
        "{}",
        explain("1970-01-12T13:46:39Z")
    );
}
