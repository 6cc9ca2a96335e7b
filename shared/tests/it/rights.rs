//! What roles other than the owner of our tables can do, and what our functions do for them.

use std::process::Command;

use shared::database_url::DatabaseUrl;
use shared::store::{Migration, Schema, Views, migrate};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::{execute, postgres_database, try_execute};

/// The functions of a tenant's schema.
const FUNCTIONS: [&str; 4] = [
    "polychron_refuse",
    "polychron_job_edited",
    "polychron_job_deleted",
    "polychron_execution_born",
];

/// A role that may connect, and its URL for a database. To be dropped at the end.
async fn role(url: &DatabaseUrl, purpose: &str) -> (String, DatabaseUrl) {
    let (server, database) = url.expose().rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let role = format!("{purpose}_{database}");
    execute(url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    let as_role = format!("postgres://{role}:x@{place}/{database}").parse().unwrap();
    (role, as_role)
}

async fn drop_role(url: &DatabaseUrl, role: &str) {
    execute(url, &format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
}

async fn text(url: &DatabaseUrl, sql: &str) -> String {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// A job `a` with an open execution.
async fn add_job(url: &DatabaseUrl) {
    execute(
        url,
        "INSERT INTO polychron_job (name, job_type, schedule) VALUES ('a', 'noop', '{}');
         INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status)
         SELECT gen_random_uuid(), id, now(), 'manual', 'scheduled' FROM polychron_job",
    )
    .await;
}

#[tokio::test]
async fn a_role_with_rights_on_the_jobs_alone_can_delete_one() {
    let url = postgres_database().await;
    migrate(&url, Schema::Tenant).await.unwrap();
    let (role, application) = role(&url, "app").await;
    execute(&url, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON polychron_job TO {role}"))
        .await;
    add_job(&url).await;
    for path in ["public", "pg_temp, pg_catalog", "nowhere"] {
        let edit = "UPDATE public.polychron_job SET schedule = '{\"every\": \"1m\"}'";
        try_execute(&application, &format!("SET search_path = {path}; {edit}")).await.unwrap();
    }
    execute(&application, "SET search_path = pg_temp; DELETE FROM public.polychron_job").await;
    let ended = "SELECT status || ': ' || error_message FROM polychron_job_execution";
    assert_eq!(text(&url, ended).await, "cancelled: its job was deleted");
    let denied = try_execute(&application, "DELETE FROM polychron_job_execution").await;
    assert!(denied.unwrap_err().to_string().contains("permission denied"));
    drop_role(&url, &role).await;
}

#[tokio::test]
async fn a_stranger_gains_nothing_from_our_functions() {
    let url = postgres_database().await;
    migrate(&url, Schema::Tenant).await.unwrap();
    add_job(&url).await;
    let (role, stranger) = role(&url, "stranger").await;
    execute(&url, &format!("CREATE SCHEMA {role} AUTHORIZATION {role}")).await;
    let look_alike = "CREATE TABLE polychron_job (id bigint);
        CREATE TABLE polychron_job_execution (id bigint, job_id bigint);
        INSERT INTO polychron_job VALUES (1)";
    execute(&stranger, look_alike).await;
    for function in FUNCTIONS {
        let hang = format!(
            "CREATE TRIGGER mine AFTER DELETE ON polychron_job EXECUTE FUNCTION public.{function}()"
        );
        let error = try_execute(&stranger, &hang).await.unwrap_err().to_string();
        assert!(error.contains("permission denied for function"), "{function}: {error}");
    }
    // A trigger from before the right was revoked.
    execute(&url, &format!("GRANT EXECUTE ON FUNCTION polychron_job_deleted() TO {role}")).await;
    let hang = "CREATE TRIGGER mine AFTER DELETE ON polychron_job EXECUTE FUNCTION public.polychron_job_deleted()";
    execute(&stranger, hang).await;
    execute(&url, &format!("REVOKE EXECUTE ON FUNCTION polychron_job_deleted() FROM {role}")).await;
    let error = try_execute(&stranger, "DELETE FROM polychron_job").await.unwrap_err().to_string();
    assert!(error.contains("polychron_job_deleted() serves polychron_job only"), "{error}");
    let open = "SELECT string_agg(status, ' ') FROM public.polychron_job_execution";
    assert_eq!(text(&url, open).await, "scheduled");
    drop_role(&url, &role).await;
}

/// Functions that run with their owner's rights have a search path of their own, which begins with the
/// schema of our tables.
#[tokio::test]
async fn every_function_is_private_and_has_its_own_path() {
    let url = postgres_database().await;
    Migration { url: &url, schema: Schema::Tenant, within: Some("ours"), views: Views::Make }
        .run()
        .await
        .unwrap();
    let list = "SELECT string_agg(concat_ws(' ', proname, array_to_string(proconfig, ','),
                                            CASE WHEN has_function_privilege('pg_monitor', oid, 'EXECUTE')
                                                 THEN 'public' END), E'\\n' ORDER BY proname)
                FROM pg_proc WHERE pronamespace = 'ours'::regnamespace";
    let mut expected = FUNCTIONS.map(|name| format!("{name} search_path=ours, pg_temp"));
    expected.sort();
    assert_eq!(text(&url, list).await, expected.join("\n"));
}

/// A tool that drops the tables it does not know, such as Alembic's autogenerate, leaves the functions.
#[tokio::test]
async fn an_installation_is_repeated_after_its_tables_were_dropped() {
    let url = postgres_database().await;
    migrate(&url, Schema::Tenant).await.unwrap();
    execute(
        &url,
        "DROP TABLE polychron_job, polychron_job_execution, polychron_identity, polychron_tenant_migration",
    )
    .await;
    assert_eq!(migrate(&url, Schema::Tenant).await.unwrap().from, 0);
    add_job(&url).await;
}

#[tokio::test]
async fn an_installation_works_in_any_encoding() {
    for encoding in ["SQL_ASCII", "LATIN1", "UTF8"] {
        let url = postgres_database().await;
        let (server, database) = url.expose().rsplit_once('/').unwrap();
        let name = format!("{database}_encoded");
        let create =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        execute(&url, &create).await;
        let encoded: DatabaseUrl = format!("{server}/{name}").parse().unwrap();
        migrate(&encoded, Schema::Tenant).await.unwrap();
        migrate(&encoded, Schema::Control).await.unwrap();
        add_job(&encoded).await;
        execute(&encoded, "DELETE FROM polychron_job").await;
    }
}

/// Restores a dump made by `pg_dump` into another database.
fn restore(from: &DatabaseUrl, to: &DatabaseUrl, arguments: &[&str]) {
    let folder = testkit::Folder::new();
    let dump = folder.path("dump");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new("pg_dump").args(["-Fd", "-f"]).arg(&dump).arg(from.expose()));
    run(Command::new("pg_restore").args(arguments).args(["-d", to.expose()]).arg(&dump));
}

#[tokio::test]
async fn a_restored_dump_has_every_row() {
    let from = postgres_database().await;
    migrate(&from, Schema::Tenant).await.unwrap();
    add_job(&from).await;
    execute(
        &from,
        "INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, finished_at, output)
         SELECT gen_random_uuid(), 1, now() - n * interval '1 minute', 'manual', 'success', now(), repeat('x', 500)
         FROM generate_series(1, 999) n",
    )
    .await;
    let count = "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE finished_at IS NULL),
                                  (SELECT count(*) FROM polychron_job)) FROM polychron_job_execution";
    assert_eq!(text(&from, count).await, "1000 1 1");
    for arguments in [
        &["--data-only"][..],
        &["--data-only", "--jobs=4"],
        &["--data-only", "--table=polychron_job_execution"],
        &["--clean", "--if-exists", "--jobs=4"],
    ] {
        let to = postgres_database().await;
        migrate(&to, Schema::Tenant).await.unwrap();
        execute(&to, "DELETE FROM polychron_tenant_migration").await;
        restore(&from, &to, arguments);
        let jobs = if arguments.len() == 2 && arguments[1].starts_with("--table") { 0 } else { 1 };
        assert_eq!(text(&to, count).await, format!("1000 1 {jobs}"), "{arguments:?}");
        if jobs == 1 {
            execute(&to, "DELETE FROM polychron_job").await;
            assert_eq!(text(&to, count).await, "1000 0 0", "{arguments:?}");
        }
    }
}
