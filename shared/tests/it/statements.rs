//! Checks of the SQL files that the compiler cannot make.

use std::collections::BTreeSet;
use std::path::Path;

use shared::database_url::DatabaseUrl;
use shared::store::sql::{CONTROL, Sql, TENANT};
use shared::store::{Schema, migrate};
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection, Statement};
use testkit::{Folder, postgres_database};

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let folder = Folder::new();
    for (schema, statements) in [(Schema::Control, CONTROL), (Schema::Tenant, TENANT)] {
        let url = postgres_database().await;
        migrate(&url, schema).await.unwrap();
        let mut postgres = PgConnection::connect(url.expose()).await.unwrap();
        let url = folder.sqlite_database(&format!("{schema:?}.db"));
        migrate(&url, schema).await.unwrap();
        let mut sqlite = SqliteConnection::connect(url.expose()).await.unwrap();
        for Sql { name, postgres: text, sqlite: other } in statements {
            if !text.is_empty() {
                let prepared = postgres.prepare(text.into_sql_str()).await;
                let parameters = prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(parameters.parameters().is_some());
            }
            if !other.is_empty() {
                let prepared = sqlite.prepare(other.into_sql_str()).await;
                prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}

const COLUMNS_MAX: usize = 110;

#[test]
fn every_file_is_a_statement_with_a_header() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files = BTreeSet::new();
    for kind in ["control", "schema", "tenant"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(text.starts_with("-- "), "{name} has no header");
            let differs = text.contains("\n-- Differs because");
            assert_eq!(
                differs,
                name.matches('.').count() == 2,
                "{name}: exactly the files of a pair say why they differ"
            );
            assert!(text.contains("\n-- Result: "), "{name} does not say what it answers");
            assert_eq!(unnamed_parameters(&text), Vec::<String>::new(), "{name}");
            let longest = text.lines().map(str::len).max().unwrap_or_default();
            assert!(longest <= COLUMNS_MAX, "{name} has a line of {longest} columns");
            if kind != "schema" {
                files.insert(format!("{kind}/{}", name.split('.').next().unwrap()));
            }
        }
    }
    let statements: BTreeSet<String> =
        CONTROL.iter().chain(TENANT).map(|statement| statement.name.to_owned()).collect();
    assert_eq!(files, statements);
}

/// In SQLite, a row is read in our memory. So a statement that reads all rows skips huge ones, by the sum of
/// their columns. The same sum stands in several statements, because SQL has no place to name it.
#[test]
fn every_statement_skips_the_same_huge_rows() {
    const LIMIT: &str = " <= 8388608";
    let mut sums = BTreeSet::new();
    for Sql { name, sqlite, .. } in TENANT {
        let text = sqlite.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.replace("polychron_job_execution.", "e.");
        let parts: Vec<&str> = text.split(LIMIT).collect();
        for before in &parts[..parts.len() - 1] {
            let begins = before.rfind(" AND ").expect(name) + " AND ".len();
            sums.insert(before[begins..].replace("e.", "").replace("j.", ""));
        }
        assert_eq!(text.matches("8388608").count(), parts.len() - 1, "{name}: written otherwise");
    }
    let sum = |columns: &[&str]| {
        let length = |column: &&str| match column.strip_suffix('?') {
            Some(nullable) => format!("coalesce(octet_length({nullable}), 0)"),
            None => format!("octet_length({column})"),
        };
        columns.iter().map(length).collect::<Vec<_>>().join(" + ")
    };
    let jobs =
        ["name", "job_type", "payload", "schedule", "queue", "notify?", "quarantined_reason?"];
    let executions = [
        "payload?",
        "result?",
        "output?",
        "error_message?",
        "error_detail?",
        "progress?",
        "worker?",
    ];
    assert_eq!(sums, BTreeSet::from([sum(&jobs), sum(&executions)]));
}

/// The parameters that a statement uses and its header does not name.
fn unnamed_parameters(text: &str) -> Vec<String> {
    let (header, body): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--"));
    let (named, used) = (parameters(&header.join("\n")), parameters(&body.join("\n")));
    used.difference(&named).cloned().collect()
}

fn parameters(text: &str) -> BTreeSet<String> {
    let numbers = text.split('$').skip(1);
    numbers.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).collect()
}

#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let folder = Folder::new();
    for schema in [Schema::Control, Schema::Tenant] {
        let url = postgres_database().await;
        migrate(&url, schema).await.unwrap();
        let postgres = postgres_columns(&url).await;
        let url = folder.sqlite_database(&format!("{schema:?}.db"));
        migrate(&url, schema).await.unwrap();
        let sqlite = sqlite_columns(&url).await;
        assert!(!postgres.is_empty());
        assert_eq!(postgres, sqlite);
    }
}

/// Table, column, and whether it may be null.
type Column = (String, String, bool);

async fn postgres_columns(url: &DatabaseUrl) -> BTreeSet<Column> {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    let rows: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, is_nullable = 'YES' FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '%migration'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    rows.into_iter().collect()
}

async fn sqlite_columns(url: &DatabaseUrl) -> BTreeSet<Column> {
    let mut connection = SqliteConnection::connect(url.expose()).await.unwrap();
    let rows: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT m.name, c.name, c.\"notnull\" = 0 FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE '%migration' AND m.name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    rows.into_iter().collect()
}
