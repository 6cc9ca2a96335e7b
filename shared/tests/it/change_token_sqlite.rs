//! The change token of an SQLite database: whether its files show that something was committed,
//! without opening it.

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

/// A tenant's file that is not open.
struct ClosedFile {
    folder: Folder,
    url: DatabaseUrl,
    store: Store,
    connections: Connections,
}

impl ClosedFile {
    async fn new() -> ClosedFile {
        let folder = Folder::new();
        let url = folder.sqlite_database("tenant.db");
        migrate(&url, Schema::Tenant).await.unwrap();
        let connections = Connections::new(Clock::System, 4);
        let id = TenantId::new(Clock::System.wall_time(), &Random::system());
        let store = Store::new(id, &url, &connections).unwrap();
        assert!(store.set_owner().await.unwrap().is_applied());
        ClosedFile { folder, url, store, connections }
    }

    /// Makes the last change look a minute old. Call it only while the files are closed.
    fn backdate(&self) {
        for name in ["tenant.db", "tenant.db-wal"] {
            if let Ok(file) = File::options().append(true).open(self.folder.path(name)) {
                let before = file.metadata().unwrap().modified().unwrap();
                file.set_modified(before - Duration::from_secs(60)).unwrap();
            }
        }
    }

    /// Closes our connections and waits until the WAL is gone.
    async fn close(&self) {
        self.store.close_idle();
        assert_eq!(self.connections.count().sqlite, (0, 0));
        let wal = self.folder.path("tenant.db-wal");
        eventually("the WAL is checkpointed", || async { (!wal.exists()).then_some(()) }).await;
    }

    async fn change_token(&self) -> Option<ChangeToken> {
        self.store.change_token().await
    }
}

#[tokio::test]
async fn only_a_commit_changes_the_token() {
    let file = ClosedFile::new().await;
    assert_eq!(file.change_token().await, None, "the file was modified too recently");
    file.close().await;
    file.backdate();
    let before = file.change_token().await;
    assert!(before.is_some());
    file.store.poll().await.unwrap();
    assert_eq!(file.change_token().await, before, "while we have it open");
    file.close().await;
    assert_eq!(file.change_token().await, before, "a poll changes nothing");

    execute(&file.url, CHANGE).await;
    assert_eq!(file.change_token().await, None);
    file.close().await; // the other connection may still be checkpointing
    file.backdate();
    let changed = file.change_token().await;
    assert!(changed.is_some() && changed != before);
}

#[tokio::test]
async fn a_commit_that_is_only_in_the_wal_changes_the_token() {
    let file = ClosedFile::new().await;
    file.close().await;
    // The application keeps its connection open, so there is no checkpoint.
    let mut application = SqliteConnection::connect(file.url.expose()).await.unwrap();
    let mut tokens = Vec::new();
    for _ in 0..3 {
        application.execute(CHANGE).await.unwrap();
        file.backdate();
        tokens.push(file.change_token().await.unwrap());
    }
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    // The WAL is overwritten from its beginning, in a file of the same size.
    application.execute("PRAGMA wal_checkpoint(RESTART)").await.unwrap();
    application.execute(CHANGE).await.unwrap();
    assert_eq!(file.change_token().await, None);
    file.backdate();
    assert!(!tokens.contains(&file.change_token().await.unwrap()));
}

#[tokio::test]
async fn a_symbolic_link_uses_the_wal_of_its_target() {
    let file = ClosedFile::new().await;
    file.close().await;
    std::os::unix::fs::symlink(file.folder.path("tenant.db"), file.folder.path("link.db")).unwrap();
    let id = TenantId::new(Clock::System.wall_time(), &Random::system());
    let link = Store::new(id, &file.folder.sqlite_database("link.db"), &file.connections).unwrap();
    file.backdate();
    let before = link.change_token().await;
    assert!(before.is_some());
    let mut application = SqliteConnection::connect(file.url.expose()).await.unwrap();
    application.execute(CHANGE).await.unwrap();
    assert_eq!(link.change_token().await, None);
    let gone = Store::new(id, &file.folder.sqlite_database("gone.db"), &file.connections).unwrap();
    assert_eq!(gone.change_token().await, None);
}
