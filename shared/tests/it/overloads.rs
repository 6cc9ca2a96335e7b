//! A tenant can create functions, operators and types in the schema of our tables, and in its role's
//! search path. None of them may be called by our statements.

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::sql::{CONTROL, SCHEMA, Sql, TENANT};
use shared::store::{Connections, Migration, Schema, Store, Views};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, raw_sql};
use testkit::{TEMPLATE, TEMPLATE_SCHEMA, plant_overloads, postgres_database};

/// Statements for sessions that keep the search path of the role.
const WITH_THE_ROLES_PATH: &[&str] = &["tenant/end_sessions", "tenant/read_session"];
const SCRIPTS: &[&str] = &[
    include_str!("../../../migrations/tenant/baseline.postgres.sql"),
    include_str!("../../../migrations/tenant/postgres/0005_rights.sql"),
    include_str!("../../../migrations/control/baseline.postgres.sql"),
    include_str!("../../src/store/session.rs"),
];

/// A database with both schemas and the overloads of all that our statements call.
async fn planted_database() -> DatabaseUrl {
    let url = postgres_database().await;
    for schema in [Schema::Control, Schema::Tenant] {
        let within = Some(TEMPLATE_SCHEMA);
        Migration { url: &url, schema, within, views: Views::Leave }.run().await.unwrap();
    }
    let statements = [CONTROL, TENANT, SCHEMA].concat();
    let texts: Vec<_> = statements.iter().map(|statement| statement.postgres).collect();
    plant_overloads(&url, TEMPLATE_SCHEMA, &[&texts, SCRIPTS].concat()).await;
    url
}

/// Has PostgreSQL resolve and plan a statement. Its parameters stay unknown, so no condition is folded.
async fn plan(
    session: &mut PgConnection,
    path: &str,
    name: &str,
    text: &str,
) -> Result<(), String> {
    let run = async |session: &mut PgConnection, sql: String| {
        session
            .execute(raw_sql(AssertSqlSafe(sql)))
            .await
            .map_err(|error| format!("{name}: {error}"))
    };
    run(session, format!("DEALLOCATE ALL; SET search_path = {path}; PREPARE planned AS {text}"))
        .await?;
    let count =
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'";
    // Its own text must not resolve to an overload.
    let count = format!("SET search_path = pg_catalog; {count}; SET search_path = {path}");
    let count = raw_sql(AssertSqlSafe(count)).fetch_one(&mut *session).await.unwrap();
    let parameters: i32 = count.get(0);
    let arguments = vec!["NULL"; parameters as usize].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({arguments})") };
    run(session, format!("EXPLAIN EXECUTE planned{arguments}")).await?;
    Ok(())
}

#[tokio::test]
async fn no_statement_calls_a_tenants_function_or_operator() {
    let url = planted_database().await;
    let mut session = PgConnection::connect(url.expose()).await.unwrap();
    session.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let mut called = Vec::new();
    for Sql { name, postgres, .. } in [CONTROL, TENANT, SCHEMA].concat() {
        if postgres.is_empty() {
            continue;
        }
        let path =
            if WITH_THE_ROLES_PATH.contains(&name) { "lies, pg_catalog" } else { "lies, pg_temp" };
        called.extend(plan(&mut session, path, name, postgres).await.err());
    }
    assert!(called.is_empty(), "{called:#?}");
}

/// The overloads are real: what isn't cast exactly calls them.
#[tokio::test]
async fn an_inexact_call_is_detected() {
    let url = planted_database().await;
    let mut session = PgConnection::connect(url.expose()).await.unwrap();
    session.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    for text in [
        "SELECT count(started_at) FROM polychron_job_execution",
        "SELECT make_interval(secs => id::integer) FROM polychron_job",
        "SELECT id FROM polychron_job WHERE id * 1.5::float8 > 3",
        "SELECT unnest(ARRAY[id]) FROM polychron_job",
        "SELECT replace(name, queue::varchar, queue) FROM polychron_job",
    ] {
        let error = plan(&mut session, "lies, pg_temp", text, text).await.unwrap_err();
        assert!(error.contains("planted") || error.contains("boolean"), "{error}");
    }
}

#[tokio::test]
async fn the_triggers_call_no_function_or_operator_of_the_tenant() {
    let url = planted_database().await;
    let mut session = PgConnection::connect(url.expose()).await.unwrap();
    // An application whose own path leads to the overloads first.
    let steps = "
        SET search_path = lies, pg_catalog;
        INSERT INTO polychron_job (name, job_type, schedule) VALUES ('a', 'noop', '{\"every\": \"1m\"}');
        INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status)
            VALUES ('00000000-0000-0000-0000-000000000001', 1, '2026-01-01', 'manual', 'scheduled');
        UPDATE polychron_job SET schedule = '{\"every\": \"2m\"}', payload = '[]', queue = 'x', notify = '{}';
        DELETE FROM polychron_job";
    session.execute(raw_sql(steps)).await.unwrap();
    let status = "SELECT status FROM lies.polychron_job_execution";
    let status: String = sqlx::query_scalar(status).fetch_one(&mut session).await.unwrap();
    assert_eq!(status, "cancelled");
}

/// The statement that sets our path runs under the role's own.
#[tokio::test]
async fn our_search_path_is_set_whatever_is_planted_in_the_roles_own() {
    let url = planted_database().await;
    let url: DatabaseUrl =
        format!("{}?options=-c%20search_path%3Dlies,pg_catalog", url.expose()).parse().unwrap();
    let time = "2026-11-24T12:00:00Z".parse().unwrap();
    let tenant = TenantId::new(time, &Random::seeded(1));
    let store = Store::new(tenant, &url, &Connections::new(Clock::System, 4)).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    store.poll().await.unwrap();
    store.now().await.unwrap();
}

/// The statements as the store sends them, with the types of its parameters.
#[tokio::test]
async fn the_store_behaves_the_same_over_a_tenants_overloads() {
    let url = planted_database().await;
    let template = url.expose().rsplit('/').next().unwrap().to_owned();
    let tests = [
        "batches",
        "claim",
        "dispatch",
        "finish",
        "identity",
        "lease",
        "load",
        "notify",
        "plain_sql",
        "prune",
        "sweep",
        "times",
        "waiting",
    ];
    let run = move || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(tests.map(|module| format!("store::{module}::postgres::")))
            // Changes a table, which the views of the test's session cannot.
            .args(["--skip", "a_rejected_row_rolls_back_the_batch"])
            .env(TEMPLATE, template)
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let passed: u32 =
        text.split(" passed;").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(passed > 50, "{text}");
}
