use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn read_with(environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, Problems> {
    let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let environment = environment.iter().map(pair).collect();
    let sources = Sources { environment, file: file.map(str::to_owned), ..Sources::default() };
    Config::read(&sources, &[])
}

#[test]
fn the_defaults_are_as_documented() {
    let config = read_with(&[], None).unwrap();
    assert_eq!(config.prefetch, 5);
    assert_eq!(config.job_timeout, Duration::from_secs(1800));
    assert_eq!(config.poll_interval, Duration::from_secs(30));
    assert_eq!(config.queues, ["default"]);
    assert_eq!(config.drain_timeout, Duration::from_secs(25));
    assert_eq!(config.http, None);
    assert_eq!(config.keep, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(config.keep_per_job, Some(100_000));
    let unlimited = [("POLYCHRON_KEEP", "off"), ("POLYCHRON_KEEP_PER_JOB", "off")];
    let unlimited = read_with(&unlimited, None).unwrap();
    assert_eq!((unlimited.keep, unlimited.keep_per_job), (None, None));
    // Access to other systems is off by default.
    assert!(config.http_allow.is_empty() && config.commands.is_empty());
    assert!(config.handlers.is_empty());
    assert!(config.exchanges.is_empty() && config.secrets == Secrets::default());
    assert!(!config.diagnostics && config.database_url.is_none());
}

#[test]
fn flags_override_environment_which_overrides_file_which_overrides_default() {
    let mut sources = Sources {
        file: Some("prefetch = 7\njob_timeout = \"1m\"\nqueues = [\"a\", \"b\"]".into()),
        ..Sources::default()
    };
    let read = |sources: &Sources| Config::read(sources, &[]).unwrap();
    assert_eq!(read(&sources).prefetch, 7);
    assert_eq!(read(&sources).queues, ["a", "b"]);
    sources.environment.insert("POLYCHRON_PREFETCH".into(), "8".into());
    assert_eq!(read(&sources).prefetch, 8);
    sources.flags.insert("POLYCHRON_PREFETCH".into(), "9".into());
    assert_eq!(read(&sources).prefetch, 9);
    assert_eq!(read(&sources).job_timeout, Duration::from_secs(60));
}

#[test]
fn all_problems_are_reported_together_without_secrets() {
    let environment = [
        ("DATABASE_URL", "mysql://ann:s3cret@db/x"),
        ("AMQP_URL", "s3cret"),
        ("POLYCHRON_PREFETCH", "0"),
        ("POLYCHRON_JOB_TIMEOUT", "soon"),
        ("POLYCHRON_PREFECTH", "5"),
        ("POLYCHRON_QUEUES", "Default"),
        ("POLYCHRON_KEEP", "1m"),
        ("POLYCHRON_HTTP_ALLOW", "10.0.0.0/40"),
        ("POLYCHRON_COMMANDS", "backup"),
        ("POLYCHRON_HANDLERS", "python 'x"),
        ("POLYCHRON_EXCHANGES", "polychron.jobs"),
        ("POLYCHRON_SECRETS", "/nowhere/secrets.toml"),
    ];
    let Problems(problems) = read_with(&environment, Some("prefech = 5")).unwrap_err();
    assert_eq!(problems.len(), 13, "{problems:#?}");
    let text = numbered(&problems);
    assert!(!text.contains("s3cret") && !text.contains("ann:"), "{text}");
    for name in environment.map(|(name, _)| name).iter().chain(&["prefech"]) {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}

#[test]
fn a_required_setting_must_be_set_and_may_be_in_a_file() {
    let mut sources = Sources::default();
    let Problems(problems) = Config::read(&sources, &["DATABASE_URL"]).unwrap_err();
    assert!(problems[0].starts_with("DATABASE_URL is not set"), "{problems:?}");
    let folder = testkit::Folder::new();
    let file = folder.path("url");
    crate::private_file::create(&file).unwrap();
    std::fs::write(&file, "sqlite:///x.db\n").unwrap();
    let path = file.display().to_string();
    sources.environment.insert("DATABASE_URL_FILE".into(), path);
    let config = Config::read(&sources, &["DATABASE_URL"]).unwrap();
    assert_eq!(config.database_url.unwrap().expose(), "sqlite:///x.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let Problems(problems) = Config::read(&sources, &["DATABASE_URL"]).unwrap_err();
    assert!(problems[0].contains("can be read by every user"), "{problems:?}");
}

#[test]
fn handlers_are_command_lines_or_tables() {
    let file = "handlers = [\"python -m app\", { command = \"node jobs.js\", processes = 2 }]";
    let read = read_with(&[], Some(file)).unwrap().handlers;
    assert_eq!(
        (read.len(), read[0].label().as_str(), read[1].processes),
        (2, "python -m app", Some(2))
    );
    let environment = [("POLYCHRON_HANDLERS", "ruby jobs.rb")];
    let read = read_with(&environment, Some(file)).unwrap().handlers;
    assert_eq!((read.len(), read[0].label().as_str()), (1, "ruby jobs.rb"));
    let Problems(problems) = read_with(&[], Some("[[handlers]]\nprocesses = 1")).unwrap_err();
    assert!(problems[0].contains("entry 1 is malformed: missing field `command`"), "{problems:?}");
}

#[test]
fn variables_that_others_read_are_no_misspelt_settings() {
    for name in ["POLYCHRON_FD", "POLYCHRON_LAUNCHER", "POLYCHRON_PROGRAM"] {
        assert!(read_with(&[(name, "/usr/bin/polychron")], None).is_ok(), "{name}");
    }
    assert!(read_with(&[("POLYCHRON_PROGRAMM", "x")], None).is_err());
}
