//! Whether SQLite's files tell, from outside, that something was committed.

use std::fs::File;
use std::time::Duration;

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{ChangeToken, Connections, Schema, Store, migrate};
use sqlx::{Connection, Executor, SqliteConnection};
use testkit::{Folder, eventually, execute};

const CHANGE: &str =
    "INSERT INTO polychron_job(name, job_type, schedule) VALUES (hex(randomblob(8)), 'noop', '{}')";

/// A tenant's file, which nobody has open.
struct Aside {
    folder: Folder,
    url: DatabaseUrl,
    store: Store,
    connections: Connections,
}

impl Aside {
    async fn new() -> Aside {
        let folder = Folder::new();
        let url = folder.sqlite_database("tenant.db");
        migrate(&url, Schema::Tenant).await.unwrap();
        let connections = Connections::new(Clock::System, 4);
        let id = TenantId::new(Clock::System.wall_time(), &Random::system());
        let store = Store::new(id, &url, &connections).unwrap();
        store.claim_database(false).await.unwrap();
        Aside { folder, url, store, connections }
    }

    /// What was written is long ago. Only while nobody has the files open.
    fn age(&self) {
        for name in ["tenant.db", "tenant.db-wal"] {
            if let Ok(file) = File::options().append(true).open(self.folder.path(name)) {
                let before = file.metadata().unwrap().modified().unwrap();
                file.set_modified(before - Duration::from_secs(60)).unwrap();
            }
        }
    }

    /// Waits until the connections of ours are really closed, and the log with them.
    async fn rest(&self) {
        self.store.close_idle();
        assert_eq!(self.connections.count().sqlite, (0, 0));
        let log = self.folder.path("tenant.db-wal");
        eventually("the log is folded in", || async { (!log.exists()).then_some(()) }).await;
    }

    async fn change_token(&self) -> Option<ChangeToken> {
        self.store.change_token().await
    }
}

#[tokio::test]
async fn it_stays_the_same_until_something_is_committed_by_whomever() {
    let file = Aside::new().await;
    assert_eq!(file.change_token().await, None, "modified just now, it tells nothing");
    file.rest().await;
    file.age();
    let before = file.change_token().await;
    assert!(before.is_some());
    file.store.poll().await.unwrap();
    assert_eq!(file.change_token().await, before, "while we have it open");
    file.rest().await;
    assert_eq!(file.change_token().await, before, "to look changes nothing");

    execute(&file.url, CHANGE).await;
    assert_eq!(file.change_token().await, None);
    file.rest().await; // the other connection may still be folding its log in
    file.age();
    let changed = file.change_token().await;
    assert!(changed.is_some() && changed != before);
}

#[tokio::test]
async fn a_commit_that_is_only_in_the_log_is_seen() {
    let file = Aside::new().await;
    file.rest().await;
    // An application that keeps its connection open: nothing is folded into the database.
    let mut application = SqliteConnection::connect(file.url.expose()).await.unwrap();
    let mut footprints = Vec::new();
    for _ in 0..3 {
        application.execute(CHANGE).await.unwrap();
        file.age();
        footprints.push(file.change_token().await.unwrap());
    }
    assert!(footprints[0] != footprints[1] && footprints[1] != footprints[2]);
    // From the beginning of the log again, in a file of the same size.
    application.execute("PRAGMA wal_checkpoint(RESTART)").await.unwrap();
    application.execute(CHANGE).await.unwrap();
    assert_eq!(file.change_token().await, None);
    file.age();
    assert!(!footprints.contains(&file.change_token().await.unwrap()));
}

#[tokio::test]
async fn by_a_link_the_log_of_the_file_is_looked_at() {
    let file = Aside::new().await;
    file.rest().await;
    std::os::unix::fs::symlink(file.folder.path("tenant.db"), file.folder.path("link.db")).unwrap();
    let id = TenantId::new(Clock::System.wall_time(), &Random::system());
    let link = Store::new(id, &file.folder.sqlite_database("link.db"), &file.connections).unwrap();
    file.age();
    let before = link.change_token().await;
    assert!(before.is_some());
    let mut application = SqliteConnection::connect(file.url.expose()).await.unwrap();
    application.execute(CHANGE).await.unwrap();
    assert_eq!(link.change_token().await, None);
    let gone = Store::new(id, &file.folder.sqlite_database("gone.db"), &file.connections).unwrap();
    assert_eq!(gone.change_token().await, None);
}
