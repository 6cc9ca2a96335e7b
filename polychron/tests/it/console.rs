//! Runs `polychron` as an operator would, and keeps its output.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::store::{Connections, Control, Store};
use testkit::{Folder, postgres_database};

/// Which databases a test uses for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

pub(crate) const BOTH: [Backend; 2] = [Backend::Sqlite, Backend::Postgres];

/// An operator with a control database.
pub(crate) struct Console {
    backend: Backend,
    pub(crate) folder: Folder,
    pub(crate) control: DatabaseUrl,
    environment: Vec<(String, String)>,
}

/// The result of one command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Console {
    /// Before `migrate`.
    pub(crate) async fn bare(backend: Backend) -> Console {
        let folder = Folder::new();
        let control = match backend {
            Backend::Sqlite => folder.sqlite_database("control.db"),
            Backend::Postgres => postgres_database().await,
        };
        Console { backend, folder, control, environment: Vec::new() }
    }

    /// With a control database that is up to date.
    pub(crate) async fn new(backend: Backend) -> Console {
        let console = Console::bare(backend).await;
        console.run(&["migrate"]).succeeded();
        console
    }

    /// With a tenant `acme`.
    pub(crate) async fn with_tenant(backend: Backend) -> Console {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        console.add_tenant("acme", &url, &[]).succeeded();
        console
    }

    /// An empty database.
    pub(crate) async fn database(&self, name: &str) -> DatabaseUrl {
        match self.backend {
            Backend::Sqlite => self.folder.sqlite_database(&format!("{name}.db")),
            Backend::Postgres => postgres_database().await,
        }
    }

    /// Sets a variable for every later command.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with_input(arguments, "")
    }

    /// Adds a tenant, whose URL comes on standard input.
    pub(crate) fn add_tenant(&self, slug: &str, url: &DatabaseUrl, more: &[&str]) -> Answer {
        let arguments = [&["tenant", "add", slug], more].concat();
        self.run_with_input(&arguments, url.expose())
    }

    /// The program, as every command runs it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polychron"));
        command
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", self.control.expose())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Answer {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A tenant's store, to act as the engine.
    pub(crate) async fn store(&self, slug: &str) -> Store {
        let connections = Connections::new(Clock::System, 4);
        let control = Control::new(&self.control, &connections).unwrap();
        let tenant = control.find_tenant(slug).await.unwrap().unwrap();
        Store::of(&tenant, &connections).unwrap()
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Answer {
        self.ended(0)
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Answer {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard error contains all of `texts`.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Answer {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is missing: {self:#?}");
        }
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:#?}"),
        }
    }

    /// Neither output contains any of `secrets`.
    #[track_caller]
    pub(crate) fn keeps(self, secrets: &[&str]) -> Answer {
        for secret in secrets {
            let shown = self.stdout.contains(secret) || self.stderr.contains(secret);
            assert!(!shown, "`{secret}` shows: {self:#?}");
        }
        self
    }
}
