//! A session that has lost its state, or whose plans no longer fit, is closed, and the statement is repeated in
//! a new one. So is a file that was replaced.

use std::time::Duration;

use shared::store::{Schema, Store, migrate};
use testkit::{Folder, TenantDatabase};

/// What the producer reads at each poll; the second time, its plans are cached.
async fn read(database: &TenantDatabase, store: &Store) -> usize {
    let now = database.now();
    store.poll().await.unwrap();
    store.read_unarmed(9).await.unwrap();
    store.read_due(now, now, &["default".to_owned()], 9).await.unwrap().len()
}

#[tokio::test]
async fn jobs_run_on_after_a_column_of_theirs_has_changed_its_type() {
    for change in [
        "ALTER TABLE polychron_job ALTER name TYPE varchar(200)",
        "ALTER TABLE polychron_job ALTER job_type TYPE varchar(100)",
        "ALTER TABLE polychron_job_execution ALTER error_message TYPE varchar",
        "DROP INDEX polychron_job_due; CREATE INDEX polychron_job_due ON polychron_job (next_run_at)",
    ] {
        let database = TenantDatabase::postgres().await;
        let (store, now) = (database.store(), database.now());
        database.insert_due_job("due", now).await;
        for _ in 0..2 {
            assert_eq!(read(&database, &store).await, 1);
        }
        store.list_jobs("", 9).await.unwrap();
        database.execute(change).await;
        assert_eq!(read(&database, &store).await, 1, "{change}");
        assert_eq!(store.list_jobs("", 9).await.unwrap().len(), 1, "{change}");
    }
}

/// What a trigger, a pooler or an administrator may do to a session.
#[tokio::test]
async fn a_session_whose_prepared_statements_are_gone_is_replaced() {
    let database = TenantDatabase::postgres().await;
    let (store, now) = (database.store(), database.now());
    database
        .execute(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN NEW; END $$;
             CREATE TRIGGER forget BEFORE UPDATE OF quarantined_reason ON polychron_job
             FOR EACH ROW EXECUTE FUNCTION forget()",
        )
        .await;
    let job = database.insert_due_job("due", now).await;
    assert_eq!(read(&database, &store).await, 1);
    for _ in 0..3 {
        let _ = store.quarantine(job, 1, "why").await.unwrap();
        assert_eq!(read(&database, &store).await, 0);
    }
}

#[tokio::test]
async fn an_ended_session_takes_its_idle_siblings_with_it() {
    let database = TenantDatabase::postgres().await;
    let store = database.store();
    // As many sessions as are used at a time.
    let polls = (0..4).map(|_| store.poll());
    for poll in futures_util::future::join_all(polls).await {
        poll.unwrap();
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'polychron'";
    database.execute(end).await;
    let _ = store.poll().await;
    store.poll().await.unwrap();
    store.poll().await.unwrap();
}

/// A folder with a tenant's file, and a copy of it with one job more.
async fn restorable() -> (TenantDatabase, Folder) {
    let database = TenantDatabase::sqlite().await;
    let folder = Folder::new();
    let copy = folder.path("backup.db");
    database.insert_due_job("restored", database.now()).await;
    database.execute(&format!("VACUUM INTO '{}'", copy.display())).await;
    database.execute("DELETE FROM polychron_job").await;
    (database, folder)
}

#[tokio::test]
async fn an_sqlite_file_that_is_replaced_is_opened_anew() {
    for by in ["mv", "delete", "rename the folder"] {
        let (database, folder) = restorable().await;
        let store = database.store();
        assert_eq!(read(&database, &store).await, 0);
        database.insert_due_job("in the log of the old file", database.now()).await;
        assert_eq!(read(&database, &store).await, 1);
        let file = file_of(&database);
        let backup = folder.path("backup.db");
        match by {
            "mv" => std::fs::rename(&backup, &file).unwrap(),
            "delete" => {
                std::fs::remove_file(&file).unwrap();
                database.advance(Duration::from_secs(2));
                assert!(store.poll().await.is_err(), "there is no file");
                std::fs::copy(&backup, &file).unwrap();
            }
            _ => {
                let parent = file.parent().unwrap();
                std::fs::rename(parent, parent.with_extension("old")).unwrap();
                std::fs::create_dir(parent).unwrap();
                database.advance(Duration::from_secs(2));
                assert!(store.poll().await.is_err(), "there is no file");
                std::fs::rename(&backup, &file).unwrap();
            }
        }
        database.advance(Duration::from_secs(2));
        let now = database.now();
        let due = store.read_due(now, now, &["default".to_owned()], 9).await.unwrap();
        let names: Vec<&str> = due.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["restored"], "{by}");
        let _ = store.quarantine(due[0].id, due[0].version, "a write").await.unwrap();
        drop(store);
        // The test's own session still has the old file open; SQLite reads the new one by itself.
        assert_eq!(integrity(&file).await, "ok", "{by}");
    }
}

#[tokio::test]
async fn an_sqlite_file_that_is_away_for_a_moment_keeps_what_is_in_its_log() {
    let (database, folder) = restorable().await;
    let store = database.store();
    database.insert_due_job("in the log", database.now()).await;
    assert_eq!(read(&database, &store).await, 1);
    let (file, away) = (file_of(&database), folder.path("away.db"));
    std::fs::rename(&file, &away).unwrap();
    database.advance(Duration::from_secs(2));
    assert!(store.poll().await.is_err());
    std::fs::rename(&away, &file).unwrap();
    database.advance(Duration::from_secs(2));
    assert_eq!(read(&database, &store).await, 1);
}

#[tokio::test]
async fn a_replaced_sqlite_file_must_be_this_tenants() {
    let (database, folder) = restorable().await;
    let store = database.store();
    store.poll().await.unwrap();
    let others = folder.sqlite_database("other.db");
    migrate(&others, Schema::Tenant).await.unwrap();
    std::fs::rename(folder.path("other.db"), file_of(&database)).unwrap();
    database.advance(Duration::from_secs(2));
    assert!(matches!(store.poll().await, Err(shared::store::StoreError::Unowned)));
}

fn file_of(database: &TenantDatabase) -> std::path::PathBuf {
    database.url.expose().trim_start_matches("sqlite://").into()
}

async fn integrity(file: &std::path::Path) -> String {
    use sqlx::Connection as _;
    let url = format!("sqlite://{}", file.display());
    let mut session = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut session).await.unwrap()
}
