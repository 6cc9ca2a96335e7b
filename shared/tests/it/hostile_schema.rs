//! A tenant owns its PostgreSQL schema and can replace our tables by other objects. That costs the tenant an
//! error within the statement timeout that says what is wrong, and does not affect other tenants.

use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::store::{Advance, Connections, Dispatch, NewExecution, Schema, Store, chain, migrate};
use shared::{execution::Status, store::StoreError};
use testkit::{TenantDatabase, execute};

/// The store's statement timeout, the wait for a connection and a margin.
const DURATION_MAX: Duration = Duration::from_secs(15);
/// What a tenant does, and what one of the errors then says; empty: whatever happens is bounded.
const DEEDS: &[(&str, &str)] = &[
    (
        "ALTER TABLE polychron_job RENAME TO mine;
         CREATE VIEW polychron_job AS SELECT mine.* FROM mine, pg_sleep(600)",
        "statement timeout",
    ),
    ("ALTER TABLE polychron_job RENAME TO mine; CREATE VIEW polychron_job AS SELECT * FROM mine", ""),
    (
        "ALTER TABLE polychron_job RENAME TO mine; CREATE VIEW polychron_job AS SELECT 1 AS id",
        "does not exist",
    ),
    ("CREATE RULE r AS ON UPDATE TO polychron_identity DO INSTEAD NOTHING", "polychron_identity"),
    ("CREATE RULE r AS ON INSERT TO polychron_job_execution DO ALSO SELECT pg_sleep(600)", "rules"),
    ("ALTER TABLE polychron_job_execution ALTER publish_count SET DEFAULT 1 / 0", "division by zero"),
    (
        "CREATE FUNCTION slow() RETURNS integer LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(600)';
         ALTER TABLE polychron_job_execution ALTER publish_count SET DEFAULT slow()",
        "statement timeout",
    ),
    (
        "CREATE DOMAIN odd AS text CHECK (VALUE <> 'dispatched');
         ALTER TABLE polychron_job_execution ALTER status TYPE odd",
        "odd",
    ),
    (
        "CREATE TYPE name_and_age AS (name text, age integer);
         ALTER TABLE polychron_job DROP COLUMN job_type; ALTER TABLE polychron_job ADD job_type name_and_age",
        "octet_length",
    ),
    (
        "ALTER TABLE polychron_job DROP COLUMN schedule_since;
         ALTER TABLE polychron_job ADD schedule_since timestamptz GENERATED ALWAYS AS (created_at) STORED",
        "schedule_since",
    ),
    (
        "CREATE FUNCTION endless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
         CREATE TRIGGER endless BEFORE UPDATE ON polychron_identity FOR EACH ROW EXECUTE FUNCTION endless()",
        "statement timeout",
    ),
    (
        "CREATE FUNCTION recursive() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN UPDATE polychron_identity SET tenant_id = tenant_id; RETURN NEW; END $$;
         CREATE TRIGGER recursive BEFORE UPDATE ON polychron_identity FOR EACH ROW EXECUTE FUNCTION recursive()",
        "",
    ),
];

#[expect(clippy::disallowed_methods, reason = "measures the duration of real statements")]
fn clock() -> Instant {
    Instant::now()
}

fn store(database: &TenantDatabase, url: &DatabaseUrl) -> Store {
    Store::new(database.tenant, url, &Connections::new(Clock::System, 4)).unwrap()
}

/// A poll's calls in their order; the errors among the answers.
async fn poll(database: &TenantDatabase, store: &Store) -> Vec<StoreError> {
    let now = database.now();
    let queues = ["default".to_owned()];
    let mut errors = Vec::new();
    errors.extend(store.read_unarmed(9).await.err());
    let due = store.read_due(now, now, &queues, 9).await.unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    });
    errors.extend(store.list_jobs("", 9).await.err());
    let mut dispatch = Dispatch::default();
    for job in due {
        let (id, due_at) = (job.id, job.next_run_at);
        let next_run_at = Some(due_at + chrono::TimeDelta::minutes(1));
        dispatch.advances.push(Advance { job: id, version: job.version, due_at, next_run_at });
        dispatch.executions.push(NewExecution {
            id: database.execution_id(),
            job: id,
            scheduled_for: due_at,
            status: Status::Dispatched,
            stands_for: 1,
            error_kind: None,
            error_message: None,
        });
    }
    match store.poll().await {
        Ok(summary) => {
            errors.extend(store.dispatch(&dispatch, summary.dispatch_no, now).await.err())
        }
        Err(error) => errors.push(error),
    }
    errors
}

#[tokio::test]
async fn what_a_tenant_puts_in_place_of_our_tables_costs_it_an_error() {
    let neighbour = TenantDatabase::postgres().await;
    let good = neighbour.store();
    good.poll().await.unwrap();
    let watched = async {
        loop {
            let began = clock();
            good.poll().await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let hostile = async {
        for (deed, expected) in DEEDS {
            let database = TenantDatabase::postgres().await;
            database.insert_due_job("a", database.now()).await;
            let store = store(&database, &database.url);
            store.poll().await.unwrap();
            execute(&database.url, deed).await;
            let began = clock();
            let errors: Vec<_> = poll(&database, &store).await.iter().map(|e| chain(e)).collect();
            // Four statements, of which each may take its limit.
            assert!(began.elapsed() < 4 * DURATION_MAX, "{deed}: {:?}", began.elapsed());
            let text = errors.join("\n");
            assert!(text.contains(expected), "{deed}: {text}");
            assert!(!text.contains("cannot be read: the answer"), "no panic: {text}");
        }
    };
    tokio::select! {
        () = hostile => {}
        () = watched => {}
    }
}

#[tokio::test]
async fn a_policy_fails_instead_of_hiding_jobs() {
    let database = TenantDatabase::postgres().await;
    database.insert_due_job("a", database.now()).await;
    let (server, name) = database.url.expose().rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let role = format!("engine_{name}");
    let setup = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         ALTER TABLE polychron_job ENABLE ROW LEVEL SECURITY"
    );
    execute(&database.url, &setup).await;
    let url = format!("postgres://{role}:x@{place}/{name}").parse().unwrap();
    let error = store(&database, &url).poll().await.unwrap_err();
    assert!(chain(&error).contains("row-level security"), "{}", chain(&error));
    execute(&database.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_event_trigger_stops_a_migration_with_its_own_words() {
    let url = testkit::postgres_database().await;
    let trigger = "CREATE FUNCTION no_tables() RETURNS event_trigger LANGUAGE plpgsql AS
                       $$ BEGIN RAISE 'tables are made on Sundays'; END $$;
                   CREATE EVENT TRIGGER no_tables ON ddl_command_start EXECUTE FUNCTION no_tables()";
    execute(&url, trigger).await;
    let error = migrate(&url, Schema::Tenant).await.unwrap_err();
    assert!(chain(&error).contains("tables are made on Sundays"), "{}", chain(&error));
    execute(&url, "DROP EVENT TRIGGER no_tables").await;
    migrate(&url, Schema::Tenant).await.unwrap();
}
