//! A control database knows where it lies, so that a copy of it runs nothing.

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::store::{Connections, Control, Schema, StoreError, migrate};
use testkit::{Folder, copy_of_database, execute, postgres_database};

fn control(url: &DatabaseUrl) -> Control {
    Control::new(url, &Connections::new(Clock::System, 1)).unwrap()
}

/// The copy is refused until it is settled, and the original is not affected.
async fn check(original: &DatabaseUrl, copy: &DatabaseUrl) {
    for _ in 0..2 {
        assert!(matches!(control(copy).prove_place().await, Err(StoreError::Elsewhere { .. })));
        control(original).prove_place().await.unwrap();
    }
    control(copy).settle_here().await.unwrap();
    control(copy).prove_place().await.unwrap();
    control(original).prove_place().await.unwrap();
}

#[tokio::test]
async fn a_copied_database_is_not_where_it_was() {
    let original = postgres_database().await;
    migrate(&original, Schema::Control).await.unwrap();
    control(&original).prove_place().await.unwrap();
    let (_, name) = original.expose().rsplit_once('/').unwrap();
    let copy = copy_of_database(name).await;
    check(&original, &copy).await;
}

#[tokio::test]
async fn a_copied_file_is_not_where_it_was_and_a_renamed_or_restored_one_is() {
    let folder = Folder::new();
    let original = folder.sqlite_database("control.db");
    migrate(&original, Schema::Control).await.unwrap();
    control(&original).prove_place().await.unwrap();
    let path = |name: &str| folder.path(name);
    for copy in ["copy.db", "restored.db"] {
        execute(&original, &format!("VACUUM INTO '{}'", path(copy).display())).await;
    }
    for log in ["control.db-wal", "control.db-shm"] {
        let _ = std::fs::remove_file(path(log)); // they belong to the file that is replaced
    }
    std::fs::rename(path("restored.db"), path("control.db")).unwrap();
    control(&original).prove_place().await.unwrap();
    check(&original, &folder.sqlite_database("copy.db")).await;
    std::fs::rename(path("control.db"), path("renamed.db")).unwrap();
    control(&folder.sqlite_database("renamed.db")).prove_place().await.unwrap();
}
