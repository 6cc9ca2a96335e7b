//! `polychron check`, and what every command has in common.

use serde_json::Value;
use shared::clock::Clock;
use shared::store::{Connections, Control, ProducerRow, Worker};
use testkit::virtual_host;

use crate::console::{BOTH, Backend, Console};
use sqlx::{Connection as _, Executor as _};

/// The findings of a level, each as "subject: finding", without those about security: the tests'
/// servers have superusers and default passwords.
fn findings(report: &Value, level: &str) -> Vec<String> {
    let findings = report.as_array().unwrap().iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    findings
        .filter(|finding| finding["level"] == level && finding["subject"] != "security")
        .map(|finding| format!("{}: {}", text(finding, "subject"), text(finding, "finding")))
        .collect()
}

/// The remedy of the finding that contains a text.
fn remedy_of(report: &Value, text: &str) -> Option<String> {
    let mut findings = report.as_array().unwrap().iter();
    let finding = findings.find(|finding| finding["finding"].as_str().unwrap().contains(text))?;
    Some(finding["remedy"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn all_is_well_once_a_consumer_knows_the_jobs_types() {
    for backend in BOTH {
        let mut console = Console::with_tenant(backend).await;
        console.set("AMQP_URL", &virtual_host().await);
        console.run(&["check"]).succeeded();
        console.run(&["job", "add", "acme", "a", "--type", "mail", "--every", "1h"]).succeeded();
        let report = console.run(&["check", "-o", "json"]).ended(1).json();
        assert_eq!(findings(&report, "problem"), ["consumers: none is alive"]);

        register(&console, &["report"]).await;
        let report = console.run(&["check", "-o", "json"]).ended(1).json();
        let unknown =
            "consumers: no live consumer of queue default knows job type mail, used at acme";
        assert_eq!(findings(&report, "problem"), [unknown]);
        register(&console, &["report", "mail"]).await;
        let report = console.run(&["check", "-o", "json"]).succeeded().json();
        // Both timeouts are half an hour by default: worth knowing, and harmless.
        assert_eq!(findings(&report, "warning").len(), 2, "{report:#?}");
        console.set("POLYCHRON_ACK_TIMEOUT", "2h");
        let report = console.run(&["check", "-o", "json"]).succeeded().json();
        assert_eq!(findings(&report, "warning"), ["producers: none is alive"]);
        produce(&console).await;
        let report = console.run(&["check", "-o", "json"]).succeeded().json();
        assert!(findings(&report, "warning").is_empty());
    }
}

#[tokio::test]
async fn what_exposes_tenants_is_a_warning_until_it_is_mended() {
    let mut console = Console::with_tenant(Backend::Postgres).await;
    console.set("AMQP_URL", &virtual_host().await);
    let security = |console: &Console| -> Vec<String> {
        let report = console.run(&["check", "-o", "json"]).json();
        let findings = report.as_array().unwrap().iter();
        let ours = findings.filter(|finding| finding["subject"] == "security");
        ours.map(|finding| {
            assert!(finding["level"] == "warning" && finding["remedy"].is_string(), "{finding}");
            finding["finding"].as_str().unwrap().to_owned()
        })
        .collect()
    };
    let found = security(&console);
    for exposed in [
        "guest with RabbitMQ's default password",
        "the role of acme is a superuser",
        "shared by acme, and the control database",
    ] {
        assert!(found.iter().any(|finding| finding.contains(exposed)), "{exposed}: {found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    // A role of its own for the tenant.
    let url = console.database("globex").await;
    let (_, database) = url.expose().rsplit_once('/').unwrap();
    let mut admin = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let role = format!("{database}_owner");
    let make = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; ALTER DATABASE {database} OWNER TO {role}; \
         ALTER SCHEMA public OWNER TO {role}"
    );
    admin.execute(sqlx::AssertSqlSafe(make)).await.unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.expose().parse().unwrap();
    let own =
        format!("postgres://{role}:x@{}:{}/{database}", options.get_host(), options.get_port());
    console.run(&["tenant", "remove", "acme", "--yes"]).succeeded();
    console.add_tenant("globex", &own.parse().unwrap(), &[]).succeeded();
    let found = security(&console);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("guest"), "{found:#?}");
    // Files with users and secrets must be private.
    let file = console.folder.path("users.toml");
    testkit::write_private(&file, "");
    console.set("POLYCHRON_USERS", &file.display().to_string());
    assert_eq!(security(&console).len(), 1);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    let found = security(&console);
    assert!(found.iter().any(|finding| finding.contains("chmod")), "{found:#?}");
}

#[tokio::test]
async fn occurrences_are_checked_under_both_names_of_the_option() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        for option in ["--occurrences", "--audit"] {
            let report = console.run(&["check", option, "-o", "json"]).ended(1).json();
            let found = findings(&report, "ok");
            let wanted =
                "occurrences of acme: jobs 0, occurrences 0, executions 0: all accounted for";
            assert!(found.iter().any(|finding| finding == wanted), "{found:#?}");
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_a_problem_until_it_can() {
    let console = Console::new(Backend::Postgres).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    let (_, control) = console.control.expose().rsplit_once('/').unwrap();
    let said = |text: &str| remedy_of(&console.run(&["check", "-o", "json"]).json(), text);
    for database in [name, control] {
        let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only");
        testkit::execute(&url, &format!("{read_only} = on")).await;
        let remedy = said("in a read-only transaction").unwrap();
        assert!(remedy.contains("make it writable"), "{remedy}");
        testkit::execute(&url, &format!("BEGIN READ WRITE; {read_only} = off; COMMIT")).await;
        assert_eq!(said("read-only"), None);
    }
}

#[tokio::test]
async fn a_missing_right_is_a_problem_until_it_is_granted() {
    let console = Console::new(Backend::Postgres).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    let (server, name) = url.expose().rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let grant = format!(
        "CREATE ROLE engine_{name} LOGIN PASSWORD 'x';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_{name}"
    );
    testkit::execute(&url, &grant).await;
    let as_role = format!("postgres://engine_{name}:x@{place}/{name}");
    let file = console.folder.path("url");
    testkit::write_private(&file, &as_role);
    let file = file.display().to_string();
    console.run(&["tenant", "edit", "acme", "--database-url-file", &file]).succeeded();
    let said = || remedy_of(&console.run(&["check", "-o", "json"]).json(), "its jobs do not run");
    let remedy = said().unwrap();
    testkit::execute(&url, remedy.split('`').nth(1).unwrap()).await;
    assert_eq!(said(), None);
    for right in ["INSERT ON polychron_job_execution", "UPDATE ON polychron_identity"] {
        testkit::execute(&url, &format!("REVOKE {right} FROM engine_{name}")).await;
        assert!(said().is_some(), "{right}");
        testkit::execute(&url, &format!("GRANT {right} TO engine_{name}")).await;
    }
    assert_eq!(said(), None);
    testkit::execute(&url, &format!("DROP OWNED BY engine_{name}; DROP ROLE engine_{name}")).await;
}

#[tokio::test]
async fn missing_tables_are_named_and_can_be_made_anew() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        console.add_tenant("acme", &url, &[]).succeeded();
        testkit::execute(&url, "DROP TABLE polychron_job_execution").await;
        let migrated = console.run(&["migrate"]).ended(4).stdout;
        assert!(migrated.contains("missing") && migrated.contains("polychron_job_execution"));
        let report = console.run(&["check", "-o", "json"]).json();
        let remedy = remedy_of(&report, "tables of ours are missing").unwrap();
        testkit::execute(&url, remedy.split('`').nth(1).unwrap()).await;
        console.add_tenant("acme", &url, &[]).succeeded();
        console.run(&["migrate"]).succeeded();
        let report = console.run(&["check", "-o", "json"]).json();
        assert_eq!(remedy_of(&report, "missing"), None);
    }
}

#[tokio::test]
async fn a_session_that_keeps_a_job_or_its_table_locked_is_named_until_it_ends() {
    let console = Console::new(Backend::Postgres).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    console.run(&["job", "add", "acme", "a", "--type", "mail", "--every", "1h"]).succeeded();
    testkit::execute(&url, "UPDATE polychron_job SET next_run_at = now() - interval '1 minute'")
        .await;
    let mut session = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    for (lock, text) in [
        ("SELECT FROM polychron_job FOR UPDATE", "job a is due and waits"),
        ("SELECT FROM polychron_job FOR SHARE", "job a is due and waits"),
        ("LOCK TABLE polychron_job IN ACCESS EXCLUSIVE MODE", "polychron_job is kept locked"),
    ] {
        session.execute("BEGIN").await.unwrap();
        session.execute(lock).await.unwrap();
        let report = console.run(&["check", "-o", "json"]).json();
        let problems = findings(&report, "problem");
        let named = format!("session {pid}");
        let found = problems.iter().any(|found| found.contains(text) && found.contains(&named));
        assert!(found, "{lock}: {problems:#?}");
        session.execute("ROLLBACK").await.unwrap();
        let report = console.run(&["check", "-o", "json"]).json();
        let problems = findings(&report, "problem");
        assert!(!problems.iter().any(|found| found.contains("locked")), "{problems:#?}");
    }
}

#[tokio::test]
async fn sequences_that_lag_behind_their_tables_are_named_until_they_are_raised() {
    let console = Console::new(Backend::Postgres).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    console.run(&["job", "add", "acme", "a", "--type", "mail", "--every", "1h"]).succeeded();
    for (database, table) in [(&url, "polychron_job"), (&console.control, "polychron_audit")] {
        testkit::execute(database, &format!("SELECT setval('{table}_id_seq', 1, false)")).await;
        let report = console.run(&["check", "-o", "json"]).json();
        let remedy = remedy_of(&report, &format!("lags behind {table}:")).unwrap();
        testkit::execute(database, remedy.split('`').nth(1).unwrap()).await;
        let report = console.run(&["check", "-o", "json"]).json();
        assert_eq!(remedy_of(&report, "lags behind"), None);
    }
}

#[tokio::test]
async fn each_problem_is_named_with_its_remedy() {
    let mut console = Console::with_tenant(BOTH[0]).await;
    let report = console.run(&["check", "-o", "json"]).ended(1).json();
    assert_eq!(findings(&report, "problem"), ["broker: not checked: AMQP_URL is not set"]);

    console.run(&["job", "add", "acme", "a", "--type", "mail", "--every", "1h"]).succeeded();
    let store = console.store("acme").await;
    let job = store.find_job("a").await.unwrap().unwrap();
    assert!(store.quarantine(job.id, job.version, "no such day").await.unwrap().is_applied());
    let url = console.database("gone").await;
    console.add_tenant("gone", &url, &[]).succeeded();
    std::fs::remove_file(console.folder.path("gone.db")).unwrap();
    console.set("AMQP_URL", "amqp://us3r:s3cret@127.0.0.1:1/x");
    let answer = console.run(&["check", "-o", "json"]).ended(5).keeps(&["s3cret", "us3r"]);
    let report = answer.json();
    let problems = findings(&report, "problem").join("\n");
    for text in ["broker: amqp://127.0.0.1:1/x", "quarantined: no such day", "tenant gone"] {
        assert!(problems.contains(text), "`{text}` is missing in {problems}");
    }
    for finding in report.as_array().unwrap() {
        assert_eq!(finding["remedy"].is_null(), finding["level"] == "ok", "{finding}");
    }
}

#[tokio::test]
async fn settings_are_checked_everywhere_and_help_needs_none() {
    let mut console = Console::new(BOTH[0]).await;
    console.run(&["--help"]).succeeded();
    console.run(&["job", "add", "--help"]).succeeded();
    let version = console.run(&["--version"]).succeeded();
    assert!(version.stdout.contains("time zone rules: 20"), "{version:#?}");
    console.run(&[]).ended(2);
    console.run(&["tenant", "list", "--database-url", "sqlite://x"]).ended(2);
    console.run(&["tenant", "list", "-o", "xml"]).ended(2);
    console.set("POLYCHRON_PREFETCH", "0");
    console.run(&["tenant", "list"]).ended(2).says(&["POLYCHRON_PREFETCH"]);
    let report = console.run(&["check", "-o", "json"]).ended(1).json();
    assert!(findings(&report, "problem")[0].contains("POLYCHRON_PREFETCH"));
}

/// Registers a producer, as it would itself.
async fn produce(console: &Console) {
    let control = Control::new(&console.control, &Connections::new(Clock::System, 2)).unwrap();
    let now = control.now().await.unwrap();
    let producer = ProducerRow {
        name: "p".into(),
        host: "h".into(),
        pid: 1,
        version: "0".into(),
        watched: 1,
        poll_seconds: 30,
        unreachable: Vec::new(),
        started_at: now.time(),
        seen_at: now.time(),
        zone_rules: Some(shared::schedule::ZoneRules::built_in().hash().to_owned()),
    };
    control.register_producer(&producer).await.unwrap();
}

/// Registers a consumer, as it would itself.
async fn register(console: &Console, job_types: &[&str]) {
    let control = Control::new(&console.control, &Connections::new(Clock::System, 2)).unwrap();
    let now = control.now().await.unwrap();
    let worker = Worker {
        name: format!("w-{}", job_types.len()),
        host: "h".into(),
        pid: 1,
        version: "0".into(),
        queues: vec!["default".into()],
        job_types: job_types.iter().map(|word| word.to_string()).collect(),
        slots: 5,
        running: 0,
        started_at: now.time(),
        seen_at: now.time(),
        handlers: Vec::new(),
    };
    control.register_worker(&worker).await.unwrap();
}
