//! What the kernel refuses to the process that runs a `sql` job over SQLite, whatever code runs in
//! it. These tests have a program of their own, because a process has one launcher.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use polychron_consumer::known_types;
use polychron_consumer::testing::{FakeContext, use_launcher};
use serde_json::json;
use shared::clock::Clock;
use shared::config::Config;
use testkit::{Folder, execute};

/// Makes the process of a `sql` job try each of these; returns the results.
async fn tried(folder: &Folder, attempts: &[String]) -> Vec<String> {
    use_launcher(Path::new(env!("CARGO_BIN_EXE_polychron-consumer-probe")));
    let registry = known_types(&Config::read(&Default::default(), &[]).unwrap(), &Clock::System);
    let context = FakeContext::new().database(folder.sqlite_database("evil.db"));
    let ran = context.run_type(&registry, "sql", json!({"statements": attempts})).await;
    ran.failure().message.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_process_of_a_sql_job_reaches_its_own_files_and_nothing_else() {
    let folder = Folder::new();
    for name in ["evil.db", "good.db", "control.db"] {
        std::fs::write(folder.path(name), "").unwrap();
        execute(&folder.sqlite_database(name), "CREATE TABLE t (n integer)").await;
    }
    let at = |name: &str| folder.path(name).display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let name = format!("polychron-probe-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();

    let needed =
        ["own file".to_owned(), "own scratch".to_owned(), "read /etc/localtime".to_owned()];
    let forbidden = [
        format!("read {}", at("good.db")),
        format!("read {}", at("control.db")),
        format!("write {}", at("good.db")),
        format!("write {}", at("control.db")),
        format!("delete {}", at("good.db")),
        format!("list {}", at("")),
        format!("create {}", at("loot.db")),
        format!("rename {}", at("loot.db")),
        format!("link {}", at("loot.db")),
        format!("symlink {}", at("loot.db")),
        "create /tmp/polychron-probe-loot".to_owned(),
        "read /etc/passwd".to_owned(),
        "read /proc/self/environ".to_owned(),
        format!("read /proc/{}/environ", std::process::id()),
        "list /".to_owned(),
        "execute /bin/true".to_owned(),
        format!("connect {port}"),
        "listen 127.0.0.1:0".to_owned(),
        format!("abstract {name}"),
        format!("signal {}", std::process::id()),
        "signal launcher".to_owned(),
    ];
    let needed_done = tried(&folder, &needed).await;
    let localtime = Path::new("/etc/localtime").exists();
    for line in needed_done.iter().filter(|line| localtime || !line.contains("localtime")) {
        assert!(line.ends_with(": done"), "{needed_done:#?}");
    }
    let refused = tried(&folder, &forbidden).await;
    assert_eq!(refused.len(), forbidden.len(), "{refused:#?}");
    if !has_landlock() {
        return; // The consumer warns of such a kernel.
    }
    for line in &refused {
        assert!(line.ends_with(": PermissionDenied"), "{line}\n{refused:#?}");
    }
    assert!(!Path::new("/tmp/polychron-probe-loot").exists());
    let mut names: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().flatten().collect();
    names.retain(|entry| entry.path().extension().is_some_and(|ending| ending == "db"));
    assert_eq!(names.len(), 3);
}

/// Whether a launcher reports the newest restrictions that are tested (signals, since Linux 6.12).
fn has_landlock() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let lists = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or("landlock".into());
    version >= (6, 12) && lists.contains("landlock")
}
