//! What tests share: databases and virtual hosts of their own on the private servers that
//! `scripts/services` starts, and waiting for conditions without fixed sleeps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod fuzz;
mod lying_server;
mod old_schema;
mod overloads;
mod tenant_database;
mod zoneinfo;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use shared::database_url::DatabaseUrl;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

pub use fuzz::fuzz;
pub use lying_server::{Lie, LyingServer};
pub use old_schema::migrate_to;
pub use overloads::plant_overloads;
pub use tenant_database::{TEMPLATE, TEMPLATE_SCHEMA, TenantDatabase, both_stores};
pub use zoneinfo::zoneinfo;

/// A variable that `scripts/services` sets. Without it the test fails rather than being skipped.
#[expect(clippy::disallowed_methods, reason = "the servers' addresses come from the environment")]
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run the tests by `make test`, or `scripts/services run cargo test`"
        )
    })
}

/// One of the workspace's programs: beside the running benchmark, or beside the folder of the running
/// test.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folders = this.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no {name} by {}; build it first", this.display()))
}

/// Writes a file that only its owner may read, as users' and secrets' must be.
pub fn write_private(path: impl AsRef<std::path::Path>, text: &str) {
    std::fs::write(&path, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
}

/// A unique name.
fn fresh_name() -> String {
    format!("t{}", Uuid::from_bytes(shared::random::Random::system().bytes()).simple())
}

/// A new, empty PostgreSQL database.
pub async fn postgres_database() -> DatabaseUrl {
    copy_of_database("template1").await
}

/// A new, empty PostgreSQL database with another encoding than UTF8.
pub async fn postgres_database_in(encoding: &str) -> DatabaseUrl {
    copy_of_database(&format!("template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")).await
}

/// A new PostgreSQL database, a copy of one without connections.
pub async fn copy_of_database(template: &str) -> DatabaseUrl {
    let admin = setting("POLYCHRON_TEST_POSTGRES");
    let name = fresh_name();
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    connection.execute(AssertSqlSafe(create)).await.unwrap();
    connection.close().await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{name}").parse().unwrap()
}

/// The private PostgreSQL server's maintenance database, as superuser.
pub fn postgres_server() -> DatabaseUrl {
    setting("POLYCHRON_TEST_POSTGRES").parse().unwrap()
}

/// Runs a statement in a session of its own, as a tenant's application would.
pub async fn execute(url: &DatabaseUrl, statement: &str) {
    try_execute(url, statement).await.unwrap();
}

/// The same for a statement that may fail.
///
/// # Errors
/// The database's error.
pub async fn try_execute(url: &DatabaseUrl, statement: &str) -> sqlx::Result<()> {
    let statement = AssertSqlSafe(statement.to_owned());
    if url.is_sqlite() {
        SqliteConnection::connect(url.expose()).await?.execute(statement).await?;
    } else {
        PgConnection::connect(url.expose()).await?.execute(statement).await?;
    }
    Ok(())
}

/// A temporary folder, deleted when this is dropped.
pub struct Folder(TempDir);

impl Folder {
    /// Creates a folder.
    pub fn new() -> Folder {
        Folder(TempDir::with_prefix("polychron-test-").unwrap())
    }

    /// Creates a folder in memory if the machine has a file system there, for databases that need not
    /// survive a power cut.
    pub fn in_memory() -> Folder {
        let memory = std::path::Path::new("/dev/shm");
        match memory.is_dir() {
            true => Folder(TempDir::with_prefix_in("polychron-test-", memory).unwrap()),
            false => Folder::new(),
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The URL of an SQLite file in it, which does not exist yet.
    pub fn sqlite_database(&self, name: &str) -> DatabaseUrl {
        format!("sqlite://{}", self.path(name).display()).parse().unwrap()
    }
}

impl Default for Folder {
    fn default() -> Folder {
        Folder::new()
    }
}

/// The AMQP URL of a new virtual host on the private RabbitMQ.
pub async fn virtual_host() -> String {
    let name = fresh_name();
    make_virtual_host(&name).await;
    format!("{}/{name}", setting("POLYCHRON_TEST_AMQP"))
}

/// Creates a virtual host with all permissions for `guest`.
pub async fn make_virtual_host(name: &str) {
    management("PUT", &format!("/api/vhosts/{name}"), "{}").await;
    let everything = r#"{"configure":".*","write":".*","read":".*"}"#;
    management("PUT", &format!("/api/permissions/{name}/guest"), everything).await;
}

/// Runs `rabbitmqctl` on the private RabbitMQ.
pub async fn rabbitmqctl(arguments: &[&str]) {
    let script = r#". "$0"; exec /usr/lib/rabbitmq/bin/rabbitmqctl -q "$@""#;
    let environment = setting("POLYCHRON_TEST_RABBITMQ_ENVIRONMENT");
    run("bash", &[&["-c", script, environment.as_str()], arguments].concat()).await;
}

/// Kills the private PostgreSQL by SIGKILL and starts it again.
pub async fn restart_postgres() {
    run(&setting("POLYCHRON_TEST_SERVICES"), &["restart-postgres"]).await;
}

async fn run(program: &str, arguments: &[&str]) {
    let (program, arguments): (String, Vec<String>) =
        (program.to_owned(), arguments.iter().map(|text| text.to_string()).collect());
    let shown = format!("{program} {}", arguments.join(" "));
    let ran = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    let output = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}: {said}");
}

/// Sends a request to RabbitMQ's management API and returns the body.
pub async fn management(method: &str, path: &str, body: &str) -> String {
    let (status, answer) = ask_management(method, path, body).await.unwrap();
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// The same for a request that may fail. Returns whether it succeeded.
pub async fn management_answers(method: &str, path: &str, body: &str) -> bool {
    let answer = ask_management(method, path, body).await;
    answer.is_some_and(|(status, _)| (200..300).contains(&status))
}

/// The status and the body; `None` without an answer.
async fn ask_management(method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let address = setting("POLYCHRON_TEST_MANAGEMENT");
    let mut stream = TcpStream::connect(&address).await.ok()?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Waits until `condition` returns a value, checking every few milliseconds. After a minute, panics with
/// what it waited for.
#[track_caller]
pub fn eventually<T, F>(what: &str, condition: impl FnMut() -> F) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    eventually_within(Duration::from_secs(60), what, condition)
}

/// The same with another limit.
#[track_caller]
pub fn eventually_within<T, F>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let what = what.to_owned();
    let caller = std::panic::Location::caller();
    async move {
        let wait = async {
            loop {
                if let Some(value) = condition().await {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: waited {limit:?} for: {what}"),
        }
    }
}
