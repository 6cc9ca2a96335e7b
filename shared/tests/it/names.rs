//! Our names in users' databases. All are prefixed, in the schema that the operator chose, and the
//! same in a new database as in one that was made by an earlier version.

use std::collections::BTreeSet;

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::store::{
    Connections, Control, Migrated, Migration, Schema, Store, StoreError, Views, chain, migrate,
};
use shared::tenant::{Tenant, TenantStatus};
use sqlx::migrate::MigrationType;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr, SqliteConnection};
use testkit::{Folder, execute, migrate_to, postgres_database, try_execute};
use uuid::Uuid;

/// The last schema version with names without prefix.
const BEFORE: i64 = 3;

/// An application's tables with the former names of ours.
const APPLICATION: &str = "CREATE TABLE job (title text); CREATE TABLE job_execution (note text);
    CREATE TABLE tenant (rent text); CREATE TABLE worker (wage text);
    CREATE TABLE producer (film text); CREATE TABLE audit (year text);
    INSERT INTO job VALUES ('clerk')";

/// An empty database and, for SQLite, its folder.
struct Empty(DatabaseUrl, #[expect(dead_code, reason = "removes the folder")] Option<Folder>);

impl Empty {
    async fn postgres() -> Empty {
        Empty(postgres_database().await, None)
    }

    async fn sqlite() -> Empty {
        let folder = Folder::new();
        let url = folder.sqlite_database("x.db");
        let path = format!("{}?mode=rwc", url.expose());
        SqliteConnection::connect(&path).await.unwrap().close().await.unwrap();
        Empty(url, Some(folder))
    }

    async fn execute(&self, sql: &str) {
        execute(&self.0, sql).await;
    }

    /// The rows of a query with one text column.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.0.is_sqlite() {
            let mut connection = SqliteConnection::connect(self.0.expose()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        } else {
            let mut connection = PgConnection::connect(self.0.expose()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        }
    }
}

macro_rules! on_both_databases {
    ($($case:ident),+ $(,)?) => {
        mod postgres {
            $( #[tokio::test] async fn $case() { super::$case(super::Empty::postgres().await).await } )+
        }
        mod sqlite {
            $( #[tokio::test] async fn $case() { super::$case(super::Empty::sqlite().await).await } )+
        }
    };
}

on_both_databases! {
    a_new_database_equals_a_migrated_one,
    an_applications_tables_with_our_former_names_are_not_touched,
    an_interrupted_installation_is_completed,
    a_database_of_an_earlier_version_is_reported_as_old,
    a_program_too_old_for_its_database_says_so,
    views_with_the_former_names_are_read_only,
    views_are_rejected_if_their_names_are_taken,
    released_migrations_are_unchanged,
}

/// The definitions of everything in a database, as text.
async fn catalogue(empty: &Empty) -> BTreeSet<String> {
    let parts: &[&str] = match empty.0.is_sqlite() {
        true => &["SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema"],
        false => &[
            "SELECT concat_ws(' ', relkind, relname, reloptions, relpersistence) FROM pg_class
             WHERE relnamespace = 'public'::regnamespace",
            "SELECT concat_ws(' ', attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull, attidentity,
                              pg_get_expr(adbin, adrelid))
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)",
            "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
             WHERE connamespace = 'public'::regnamespace",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
            "SELECT concat_ws(' ', proname, prosrc, proconfig, prosecdef, proacl) FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace",
            "SELECT concat_ws(' ', typname, typtype) FROM pg_type WHERE typnamespace = 'public'::regnamespace",
            "SELECT concat_ws(' ', sequencename, data_type, start_value) FROM pg_sequences",
        ],
    };
    let mut all = BTreeSet::new();
    for part in parts {
        all.extend(empty.texts(part).await.iter().map(|text| normalised(text)));
    }
    all
}

/// Normalises the text of a definition, which SQLite keeps as written: removes comments, layout and
/// quotes around our names.
fn normalised(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let words = lines.collect::<Vec<_>>().join(" ").replace("\"polychron", "polychron");
    let words = words.replace("_job\"", "_job").replace("_execution\"", "_execution");
    let words = ["tenant", "worker", "producer", "audit"].iter().fold(words, |words, name| {
        words.replace(&format!("polychron_{name}\""), &format!("polychron_{name}"))
    });
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace("( ", "(").replace(" )", ")").replace(" ,", ",")
}

async fn a_new_database_equals_a_migrated_one(new: Empty) {
    for schema in [Schema::Control, Schema::Tenant] {
        let old = match new.0.is_sqlite() {
            true => Empty::sqlite().await,
            false => Empty::postgres().await,
        };
        let new = match new.0.is_sqlite() {
            true => Empty::sqlite().await,
            false => Empty::postgres().await,
        };
        migrate_to(&old.0, schema, BEFORE).await;
        assert_eq!(migrate(&old.0, schema).await.unwrap().from, BEFORE);
        assert_eq!(migrate(&new.0, schema).await.unwrap().from, 0);
        let (old, new) = (catalogue(&old).await, catalogue(&new).await);
        let only_old: Vec<_> = old.difference(&new).collect();
        let only_new: Vec<_> = new.difference(&old).collect();
        assert!(only_old.is_empty() && only_new.is_empty(), "{only_old:#?}\n{only_new:#?}");
        assert!(new.len() > 5, "{new:#?}");
        // `sqlite_sequence` is SQLite's own table.
        let ours = |line: &&String| line.contains("polychron") || line.contains("sqlite_sequence");
        let others: Vec<_> = new.iter().filter(|line| !ours(line)).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

async fn an_applications_tables_with_our_former_names_are_not_touched(empty: Empty) {
    empty.execute(APPLICATION).await;
    let before = catalogue(&empty).await;
    for schema in [Schema::Control, Schema::Tenant] {
        migrate(&empty.0, schema).await.unwrap();
    }
    let after = catalogue(&empty).await;
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    assert_eq!(empty.texts("SELECT title FROM job").await, ["clerk"]);
    let store = Store::new(tenant_id(), &empty.0, &connections()).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    works_by_plain_sql(&empty, "").await;
    let control = Control::new(&empty.0, &connections()).unwrap();
    control.check_schema().await.unwrap();
    assert!(control.list_tenants().await.unwrap().is_empty());
}

/// Edits and deletes a job as an application does, with the search path of its role.
async fn works_by_plain_sql(empty: &Empty, schema: &str) {
    let (job, execution) =
        (format!("{schema}polychron_job"), format!("{schema}polychron_job_execution"));
    let (at, id) = ("2026-01-01T00:00:00+00:00", Uuid::from_u128(7));
    empty
        .execute(&format!(
            "INSERT INTO {job} (name, job_type, schedule, next_run_at) VALUES ('a', 'noop', '{{}}', '{at}');
             INSERT INTO {execution} (id, job_id, scheduled_for, trigger, status)
             SELECT '{id}', id, '{at}', 'manual', 'scheduled' FROM {job} WHERE name = 'a';
             UPDATE {job} SET schedule = '{{\"every\":\"1h\"}}' WHERE name = 'a'"
        ))
        .await;
    let edited =
        format!("SELECT version || ' ' || coalesce(CAST(next_run_at AS text), '-') FROM {job}");
    assert_eq!(empty.texts(&edited).await, ["2 -"]);
    let too_long = format!("UPDATE {job} SET schedule = '[]'");
    let refused = try_execute(&empty.0, &too_long).await.unwrap_err().to_string();
    assert!(refused.contains("schedule is a JSON object of at most 4 KiB"), "{refused}");
    empty.execute(&format!("DELETE FROM {job}")).await;
    let ended = format!("SELECT status || ': ' || error_message FROM {execution}");
    assert_eq!(empty.texts(&ended).await, ["cancelled: its job was deleted"]);
}

async fn an_interrupted_installation_is_completed(empty: Empty) {
    let first = migrate(&empty.0, Schema::Tenant).await.unwrap();
    empty.execute("DELETE FROM polychron_tenant_migration WHERE version < 4").await;
    let again = migrate(&empty.0, Schema::Tenant).await.unwrap();
    assert_eq!(again, Migrated { from: first.to, ..first });
    let recorded = "SELECT CAST(version AS text) FROM polychron_tenant_migration ORDER BY version";
    assert_eq!(empty.texts(recorded).await[..4], ["1", "2", "3", "4"]);
}

async fn a_database_of_an_earlier_version_is_reported_as_old(empty: Empty) {
    for schema in [Schema::Control, Schema::Tenant] {
        migrate_to(&empty.0, schema, BEFORE).await;
    }
    let store = Store::new(tenant_id(), &empty.0, &connections()).unwrap();
    let control = Control::new(&empty.0, &connections()).unwrap();
    for error in [store.poll().await.unwrap_err(), control.check_schema().await.unwrap_err()] {
        assert!(matches!(error, StoreError::Schema { found: BEFORE, .. }), "{error}");
    }
}

async fn a_program_too_old_for_its_database_says_so(empty: Empty) {
    for schema in [Schema::Control, Schema::Tenant] {
        migrate(&empty.0, schema).await.unwrap();
    }
    let open = || {
        let store = Store::new(tenant_id(), &empty.0, &connections()).unwrap();
        (store, Control::new(&empty.0, &connections()).unwrap())
    };
    for (beyond, works) in [(0, true), (1, false)] {
        for (name, schema) in [("control", Schema::Control), ("tenant", Schema::Tenant)] {
            let minimum = schema.version() + beyond;
            empty
                .execute(&format!("UPDATE polychron_{name}_migration SET minimum = {minimum}"))
                .await;
        }
        let (store, control) = open();
        let (tenant, control) = (store.claim_and_poll().await, control.check_schema().await);
        assert_eq!((tenant.is_ok(), control.is_ok()), (works, works), "{tenant:?} {control:?}");
        for error in tenant.err().into_iter().chain(control.err()) {
            let text = error.to_string();
            assert!(
                matches!(error, StoreError::TooOld { minimum, built_with } if minimum == built_with + 1),
                "{text}"
            );
            assert!(text.contains("too old for this database"), "{text}");
        }
    }
}

/// Combines two calls for a test.
trait ClaimAndPoll {
    async fn claim_and_poll(&self) -> Result<(), StoreError>;
}

impl ClaimAndPoll for Store {
    async fn claim_and_poll(&self) -> Result<(), StoreError> {
        assert!(self.set_owner().await?.is_applied());
        self.poll().await.map(drop)
    }
}

async fn views_with_the_former_names_are_read_only(empty: Empty) {
    let migration =
        Migration { url: &empty.0, schema: Schema::Tenant, within: None, views: Views::Make };
    for _ in 0..2 {
        migration.run().await.unwrap();
    }
    empty
        .execute("INSERT INTO polychron_job (name, job_type, schedule) VALUES ('a', 'noop', '{}')")
        .await;
    assert_eq!(empty.texts("SELECT name FROM job").await, ["a"]);
    assert!(empty.texts("SELECT status FROM job_execution").await.is_empty());
    for write in [
        "UPDATE job SET name = 'b'",
        "DELETE FROM job",
        "INSERT INTO job (name, job_type, schedule) VALUES ('b', 'noop', '{}')",
    ] {
        let refused = try_execute(&empty.0, write).await.unwrap_err().to_string();
        assert!(refused.contains("a view"), "{write}: {refused}");
    }
}

async fn views_are_rejected_if_their_names_are_taken(empty: Empty) {
    empty.execute("CREATE TABLE job_execution (note text)").await;
    let migration =
        Migration { url: &empty.0, schema: Schema::Tenant, within: None, views: Views::Make };
    let refused = migration.run().await.unwrap_err().to_string();
    assert!(refused.contains("something else called job_execution already"), "{refused}");
    assert!(migrate(&empty.0, Schema::Tenant).await.is_ok());
    assert_eq!(empty.texts("SELECT note FROM job_execution").await.len(), 0);
}

/// The first twelve digits of the checksum of each released migration, by version.
const RELEASED: &[(Schema, bool, &[&str])] = &[
    (Schema::Control, true, &["a8669e4fe9aa", "89f078bf4a49", "69afd3f83182", "61e49c8bdfdf"]),
    (Schema::Control, false, &["cd66f5109da1", "100cae7c7648", "7c4eea3b517e", "2e775b45b1a5"]),
    (Schema::Tenant, true, &["295a36c83430", "65da59a0a2b6", "ebf062bf177e", "c1eee262688e"]),
    (Schema::Tenant, false, &["08191bf37a6e", "36f9db8597df", "aa95b153964e", "6425091cc39a"]),
];

/// A database with one of them would reject a different one of the same version.
async fn released_migrations_are_unchanged(empty: Empty) {
    for (schema, is_postgres, released) in RELEASED {
        if *is_postgres == empty.0.is_sqlite() {
            continue;
        }
        migrate(&empty.0, *schema).await.unwrap();
        let (record, digits) = match (schema, is_postgres) {
            (Schema::Control, true) => ("control", "encode(checksum, 'hex')"),
            (Schema::Tenant, true) => ("tenant", "encode(checksum, 'hex')"),
            (Schema::Control, false) => ("control", "lower(hex(checksum))"),
            (Schema::Tenant, false) => ("tenant", "lower(hex(checksum))"),
        };
        let recorded = format!(
            "SELECT substr({digits}, 1, 12) FROM polychron_{record}_migration ORDER BY version"
        );
        assert_eq!(empty.texts(&recorded).await[..released.len()], **released, "{schema:?}");
    }
}

/// A baseline is released with the migration whose state it makes: a correction is a new migration.
#[test]
fn released_baselines_are_unchanged() {
    let released = [
        ("65f3cd793731", include_str!("../../../migrations/control/baseline.postgres.sql")),
        ("4376ccd3e582", include_str!("../../../migrations/control/baseline.sqlite.sql")),
        ("9cd818c4defe", include_str!("../../../migrations/tenant/baseline.postgres.sql")),
        ("a05e8b3d7164", include_str!("../../../migrations/tenant/baseline.sqlite.sql")),
    ];
    for (digits, text) in released {
        let read = sqlx::migrate::Migration::new(
            4,
            "baseline".into(),
            MigrationType::Simple,
            text.into_sql_str(),
            false,
        );
        let checksum: String = read.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(checksum[..12], *digits, "{}", text.lines().next().unwrap());
    }
}

/// ASCII keeps a migration's checksum independent of encodings.
#[test]
fn from_0004_on_a_migration_is_ascii() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut seen = 0;
    for place in [
        "control",
        "tenant",
        "control/postgres",
        "control/sqlite",
        "tenant/postgres",
        "tenant/sqlite",
    ] {
        for entry in std::fs::read_dir(format!("{folder}/{place}")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() || ["0001", "0002", "0003"].iter().any(|old| name.starts_with(old)) {
                continue;
            }
            assert!(std::fs::read(&path).unwrap().is_ascii(), "{place}/{name}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

/// PostgreSQL appends a number to the name of a key or sequence if that name is taken.
#[tokio::test]
async fn keys_with_numbered_names_are_renamed_like_the_others() {
    let taken = Empty::postgres().await;
    taken
        .execute(
            "CREATE SEQUENCE job_id_seq; CREATE TABLE other (x text CONSTRAINT job_pkey PRIMARY KEY,
             y text CONSTRAINT job_name_key UNIQUE)",
        )
        .await;
    migrate_to(&taken.0, Schema::Tenant, BEFORE).await;
    migrate(&taken.0, Schema::Tenant).await.unwrap();
    let ours = "SELECT relname::text FROM pg_class WHERE relkind IN ('i', 'S') AND relname LIKE 'polychron%' ORDER BY 1";
    let new = Empty::postgres().await;
    migrate(&new.0, Schema::Tenant).await.unwrap();
    assert_eq!(taken.texts(ours).await, new.texts(ours).await);
}

#[tokio::test]
async fn a_chosen_schema_is_created_and_used() {
    let empty = Empty::postgres().await;
    empty.execute(APPLICATION).await;
    let schema = "Our \"own\"; drop";
    let tenant = tenant(&empty.0, Some(schema));
    let migrated = Migration::of(&tenant, Views::Make).run().await.unwrap();
    assert_eq!(migrated.within.as_deref(), Some(schema));
    let store = Store::of(&tenant, &connections()).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    store.poll().await.unwrap();
    works_by_plain_sql(&empty, "\"Our \"\"own\"\"; drop\".").await;
    assert_eq!(empty.texts("SELECT title FROM job").await, ["clerk"]);
    let elsewhere = "SELECT count(*)::text FROM pg_class
                     WHERE relname LIKE 'polychron%' AND relnamespace = 'public'::regnamespace";
    assert_eq!(empty.texts(elsewhere).await, ["0"]);
    // Another tenant uses the default schema of the same database and does not see the first.
    migrate(&empty.0, Schema::Tenant).await.unwrap();
    let other = Store::new(
        "00000000-0000-0000-0000-000000000002".parse().unwrap(),
        &empty.0,
        &connections(),
    )
    .unwrap();
    assert!(other.set_owner().await.unwrap().is_applied());
    assert_eq!(store.owner().await.unwrap(), Some(tenant.id));
}

/// A trigger runs in the session that writes, with that session's search path.
#[tokio::test]
async fn triggers_work_with_any_search_path() {
    let empty = Empty::postgres().await;
    let tenant = tenant(&empty.0, Some("ours"));
    Migration::of(&tenant, Views::Leave).run().await.unwrap();
    for path in ["pg_catalog", "pg_temp, public", "nowhere"] {
        empty
            .execute(&format!(
                "SET search_path = {path};
                 CREATE TEMP TABLE polychron_job (id bigint); INSERT INTO pg_temp.polychron_job SELECT generate_series(1, 99);
                 CREATE TEMP TABLE polychron_job_execution (id bigint);
                 INSERT INTO ours.polychron_job (name, job_type, schedule) VALUES ('a', 'noop', '{{}}');
                 INSERT INTO ours.polychron_job_execution (id, job_id, scheduled_for, trigger, status)
                 SELECT gen_random_uuid(), id, now(), 'manual', 'scheduled' FROM ours.polychron_job;
                 DELETE FROM ours.polychron_job"
            ))
            .await;
    }
    let open = "SELECT count(*) || ' ' || count(finished_at) FROM ours.polychron_job_execution";
    assert_eq!(empty.texts(open).await, ["3 3"]);
}

/// The engine must not mistake a table of the application, even a temporary one, for ours.
#[tokio::test]
async fn sessions_use_only_the_tables_in_their_schema() {
    let empty = Empty::postgres().await;
    migrate(&empty.0, Schema::Tenant).await.unwrap();
    // The role's search path now begins with another schema, which has a table with our name.
    empty.execute("CREATE SCHEMA other; CREATE TABLE other.polychron_job (title text)").await;
    let database = empty.0.expose().rsplit_once('/').unwrap().1;
    empty.execute(&format!("ALTER DATABASE {database} SET search_path = other, public")).await;
    let store = Store::new(tenant_id(), &empty.0, &connections()).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    store.poll().await.unwrap();
    let migrated = migrate(&empty.0, Schema::Tenant).await.unwrap();
    assert_eq!(migrated.within.as_deref(), Some("public"));
}

#[tokio::test]
async fn a_missing_privilege_is_named() {
    let empty = Empty::postgres().await;
    let (server, database) = empty.0.expose().rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let role = format!("r{database}");
    empty
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM public"
        ))
        .await;
    let url: DatabaseUrl = format!("postgres://{role}:x@{place}/{database}").parse().unwrap();
    for (schema, grant) in [
        (None, format!("GRANT USAGE, CREATE ON SCHEMA public TO {role}")),
        (Some("ours"), format!("GRANT CREATE ON DATABASE {database} TO {role}")),
    ] {
        let tenant = tenant(&url, schema);
        let error = Migration::of(&tenant, Views::Leave).run().await.unwrap_err();
        let text = chain(&error);
        assert!(matches!(error, StoreError::Setup(_)) && text.contains(&grant), "{text}");
        empty.execute(&grant).await;
        assert_eq!(Migration::of(&tenant, Views::Leave).run().await.unwrap().from, 0);
        empty.execute(&format!("REVOKE CREATE ON SCHEMA public FROM {role}")).await;
        let store = Store::of(&tenant, &connections()).unwrap();
        assert!(store.set_owner().await.unwrap().is_applied(), "the privilege is needed only once");
        assert_eq!(
            Migration::of(&tenant, Views::Leave).run().await.unwrap().from,
            Schema::Tenant.version()
        );
    }
    empty.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
}

fn connections() -> Connections {
    Connections::new(Clock::System, 4)
}

fn tenant_id() -> TenantId {
    "00000000-0000-0000-0000-000000000001".parse().unwrap()
}

fn tenant(url: &DatabaseUrl, schema: Option<&str>) -> Tenant {
    let now = Clock::System.wall_time();
    Tenant {
        id: tenant_id(),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        status: TenantStatus::Active,
        database_url: url.clone(),
        schema: schema.map(str::to_owned),
        max_running: None,
        created_at: now,
        updated_at: now,
    }
}
