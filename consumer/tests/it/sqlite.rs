//! The job type `sql` over SQLite with hostile statements: they affect only their tenant's file and
//! their own process.

use std::path::Path;
use std::time::Duration;

use polychron_consumer::testing::{FakeContext, Ran};
use serde_json::{Value, json};
use shared::database_url::DatabaseUrl;
use shared::outcome::Outcome;
use testkit::{Folder, eventually, execute, try_execute};
use tokio_util::sync::CancellationToken;

use crate::database::count;
use crate::known;

/// The databases of two tenants and the control database in one folder, as with `up`.
struct Neighbours {
    folder: Folder,
    evil: DatabaseUrl,
    good: DatabaseUrl,
}

impl Neighbours {
    async fn new() -> Neighbours {
        let folder = Folder::new();
        for name in ["control.db", "evil.db", "good.db"] {
            std::fs::write(folder.path(name), "").unwrap();
            let url = folder.sqlite_database(name);
            execute(&url, "CREATE TABLE t (n integer PRIMARY KEY, secret text)").await;
            execute(&url, "INSERT INTO t VALUES (1, 'hunter2')").await;
        }
        let (evil, good) = (folder.sqlite_database("evil.db"), folder.sqlite_database("good.db"));
        Neighbours { folder, evil, good }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    async fn sql(&self, statements: &[&str]) -> Ran {
        self.payload(json!({"statements": statements, "transaction": false})).await
    }

    async fn payload(&self, payload: Value) -> Ran {
        let context = FakeContext::new().database(self.evil.clone());
        context.run_type(&known(&[]), "sql", payload).await
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path("")).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        names.sort();
        names
    }
}

#[tokio::test]
async fn no_statement_reaches_another_file() {
    let neighbours = Neighbours::new().await;
    let (good, loot) = (neighbours.path("good.db"), neighbours.path("loot.db"));
    for (statement, refused) in [
        (format!("ATTACH '{good}' AS g"), "ATTACH"),
        (format!("ATTACH 'file:{good}?mode=rw' AS g"), "ATTACH"),
        (format!("ATTACH '/' || substr('{good}', 2) AS g"), "ATTACH"),
        ("ATTACH '' AS g".to_owned(), "ATTACH"),
        ("ATTACH ':memory:' AS g".to_owned(), "ATTACH"),
        (format!("VACUUM INTO '{loot}'"), "VACUUM INTO"),
        (format!("VACUUM main INTO '{loot}'"), "VACUUM INTO"),
        ("DETACH main".to_owned(), "DETACH"),
        ("SELECT load_extension('/tmp/x.so')".to_owned(), "load_extension"),
        ("PRAGMA hard_heap_limit = 1".to_owned(), "hard_heap_limit"),
        ("SELECT * FROM pragma_hard_heap_limit(1)".to_owned(), "hard_heap_limit"),
        ("PRAGMA soft_heap_limit = 1".to_owned(), "soft_heap_limit"),
        ("PRAGMA main.journal_mode = DELETE".to_owned(), "journal_mode"),
        ("PRAGMA locking_mode = EXCLUSIVE".to_owned(), "locking_mode"),
        ("PRAGMA temp_store_directory = '/'".to_owned(), "temp_store_directory"),
        ("PRAGMA writable_schema = ON".to_owned(), "writable_schema"),
        ("PRAGMA trusted_schema = ON".to_owned(), "trusted_schema"),
        ("PRAGMA mmap_size = 1000000000".to_owned(), "mmap_size"),
    ] {
        let ran = neighbours.sql(&["DELETE FROM t WHERE n = 9", &statement]).await;
        let failure = ran.failure();
        let place = failure.message.starts_with("payload.statements[1]: ");
        assert!(
            place && failure.message.contains(refused) && !failure.retry,
            "{statement}: {failure:?}"
        );
    }
    assert_eq!(neighbours.names(), ["control.db", "evil.db", "good.db"]);
    assert_eq!(count(&neighbours.good).await, 1);
}

#[tokio::test]
async fn a_view_or_trigger_of_the_tenant_reaches_no_further() {
    let neighbours = Neighbours::new().await;
    execute(&neighbours.evil, "CREATE VIEW v AS SELECT load_extension('/tmp/x.so')").await;
    let trigger = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT load_extension('x'); END";
    execute(&neighbours.evil, trigger).await;
    for statement in ["SELECT * FROM v", "INSERT INTO t VALUES (2, 'x')"] {
        let ran = neighbours.sql(&[statement]).await;
        assert!(ran.failure().message.contains("load_extension"), "{ran:?}");
    }
}

#[tokio::test]
async fn the_process_itself_can_open_no_other_file() {
    let neighbours = Neighbours::new().await;
    let pid = tokio::spawn({
        let context = FakeContext::new().database(neighbours.evil.clone());
        let payload = json!({"statements": [ENDLESS]});
        async move {
            context.timeout(Duration::from_secs(5)).run_type(&known(&[]), "sql", payload).await
        }
    });
    let child =
        eventually("the child", || async { child_of_a_launcher(&neighbours.path("evil.db")) });
    let child = child.await;
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    let limits = std::fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(limit("Max open files").contains(" 64 "), "{limits}");
    assert!(limit("Max core file size").contains(" 0 "), "{limits}");
    assert!(
        limit("Max cpu time").contains(" 9 ") || limit("Max cpu time").contains(" 10 "),
        "{limits}"
    );
    assert_eq!(std::fs::read(format!("/proc/{child}/environ")).unwrap(), b"");
    let open = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten();
    let open: Vec<String> = open
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|path| path.display().to_string())
        .filter(|path| path.starts_with('/'))
        .collect();
    let (own, scratch) = (neighbours.path("evil.db"), "polychron-sql-");
    assert!(open.iter().all(|path| path.starts_with(&own) || path.contains(scratch)), "{open:?}");
    assert_eq!(pid.await.unwrap().outcome, Outcome::Timeout { limit: Duration::from_secs(5) });
}

/// The child process that has this file open.
fn child_of_a_launcher(file: &str) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| {
        let named = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        named.starts_with(b"polychron-launcher") && open.any(|path| path == Path::new(file))
    })
}

#[tokio::test]
async fn memory_is_limited_for_the_job_alone() {
    let neighbours = Neighbours::new().await;
    for (statement, said) in [
        ("SELECT length(hex(zeroblob(500000000)))", "too big"),
        ("SELECT replace(hex(zeroblob(9000000)), '0', '00')", "too big"),
        (
            "PRAGMA temp_store = MEMORY; CREATE TEMP TABLE x AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 400) SELECT zeroblob(1000000) AS body FROM r",
            "out of memory (7)",
        ),
    ] {
        let ran = neighbours.sql(&[statement]).await;
        let failure = ran.failure();
        assert!(failure.message.contains(said), "{statement}: {failure:?}");
    }
    assert_eq!(neighbours.sql(&["UPDATE t SET secret = 'x'"]).await.result()["rows_affected"], 1);
}

#[tokio::test]
async fn much_that_is_read_is_not_kept() {
    let neighbours = Neighbours::new().await;
    let endless_rows = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100000) SELECT n, hex(zeroblob(500)) FROM r";
    assert_eq!(
        neighbours.sql(&[endless_rows]).await.result(),
        &json!({"rows_affected": 0, "statements": [0]})
    );
    let long = format!("SELECT * FROM \"{}\"", "x".repeat(1_000_000));
    assert!(neighbours.sql(&[&long]).await.failure().message.len() < 1200);
}

const ENDLESS: &str = "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM r) SELECT n, '' FROM r WHERE n < 0";

/// SQLite checks its time limit between instructions. This is one instruction of many minutes: it
/// compares 4 MB at each of four million offsets.
const ENDLESS_INSTRUCTION: &str = "SELECT instr(replace(hex(zeroblob(4000000)), '0', 'a'), replace(hex(zeroblob(2000000)), '0', 'a') || 'b')";

#[tokio::test]
async fn time_is_limited_even_within_one_instruction() {
    let neighbours = Neighbours::new().await;
    let limited = json!({"statements": [ENDLESS_INSTRUCTION], "timeout_seconds": 1});
    let ran = neighbours.payload(limited).await;
    assert_eq!(ran.failure().message, "payload.statements[0] ran longer than 1 s");
    let cancel = CancellationToken::new();
    let context = FakeContext::new().database(neighbours.evil.clone()).cancel_by(cancel.clone());
    let statements = json!({"statements": ["UPDATE t SET secret = 'held'", ENDLESS_INSTRUCTION]});
    let running =
        tokio::spawn(async move { context.run_type(&known(&[]), "sql", statements).await });
    eventually("the write lock", || async {
        try_execute(&neighbours.evil, "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE")
            .await
            .err()
            .map(|_| ())
    })
    .await;
    cancel.cancel();
    assert_eq!(running.await.unwrap().outcome, Outcome::Cancelled);
    execute(&neighbours.evil, "DELETE FROM t WHERE secret = 'hunter2'").await;
    assert_eq!(count(&neighbours.evil).await, 0, "the lock is released and the update rolled back");
}

#[tokio::test]
async fn a_job_may_do_with_its_own_file_what_it_could() {
    let neighbours = Neighbours::new().await;
    let ran = neighbours
        .sql(&[
            "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM r WHERE n < 5000) SELECT n, hex(randomblob(400)) FROM r",
            "CREATE INDEX i ON t (secret)",
            "DELETE FROM t WHERE n % 2 = 0",
            "VACUUM",
            "ANALYZE; PRAGMA optimize; PRAGMA integrity_check; PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA foreign_keys = OFF; PRAGMA user_version = 7; PRAGMA journal_mode; PRAGMA table_info(t)",
            "CREATE TEMP TABLE x AS SELECT * FROM t ORDER BY secret; DROP TABLE x",
            "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('cheese'); DROP TABLE f",
            "ALTER TABLE t RENAME COLUMN secret TO word; ALTER TABLE t ADD COLUMN more; REINDEX",
            "CREATE TRIGGER tr AFTER DELETE ON t BEGIN UPDATE t SET more = 1 WHERE n = old.n + 2; END",
            "DELETE FROM t WHERE n = 1 RETURNING n; SELECT 1",
            "BEGIN; SAVEPOINT s; DELETE FROM t; ROLLBACK",
        ])
        .await;
    let counts = ran.result()["statements"].as_array().unwrap();
    assert_eq!(counts[0], 4_999);
    assert_eq!(counts[2], 2_500);
    assert_eq!(counts[10], 1, "the trigger's changes do not count, nor does a query");
    assert_eq!(count(&neighbours.evil).await, 2_499);
    assert_eq!(ran.progress.unwrap()["done"], 12);
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let left =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with("polychron-sql-"));
    // Other tests have theirs meanwhile, each for a few milliseconds.
    assert!(left.count() < 10, "temporary folders are removed");
}

#[tokio::test]
async fn a_file_that_is_missing_is_not_created() {
    let neighbours = Neighbours::new().await;
    let context = FakeContext::new().database(neighbours.folder.sqlite_database("missing.db"));
    let ran = context.run_type(&known(&[]), "sql", json!({"statements": ["SELECT 1"]})).await;
    assert!(ran.failure().retry, "{ran:?}");
    assert_eq!(neighbours.names(), ["control.db", "evil.db", "good.db"]);
}
