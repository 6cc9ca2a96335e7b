//! Connections stay within their budget, are never reused after an error and are closed when idle.
//! Errors distinguish why a server is unavailable.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{Connections, Control, Schema, Store, StoreError, chain, migrate};
use sqlx::{Connection, PgConnection};
use testkit::{Folder, TenantDatabase, eventually, setting};

/// A store of a test's database, on shared connections.
fn store(database: &TenantDatabase, connections: &Connections) -> Store {
    Store::new(database.tenant, &database.url, connections).unwrap()
}

/// The number of our sessions in a database.
async fn sessions(database: &TenantDatabase) -> i64 {
    let count = "SELECT count(*)::text FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'polychron'";
    database.text(count).await.parse().unwrap()
}

async fn sessions_become(database: &TenantDatabase, expected: i64) {
    eventually(&format!("{expected} sessions"), || async {
        (sessions(database).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_concurrent_callers_stay_within_a_servers_budget() {
    let databases = [
        TenantDatabase::postgres().await,
        TenantDatabase::postgres().await,
        TenantDatabase::postgres().await,
    ];
    let clock = Clock::Manual(databases[0].clock.clone());
    let connections = Connections::new(clock, 3);
    let stores: Vec<Arc<Store>> =
        databases.iter().map(|one| Arc::new(store(one, &connections))).collect();
    for database in &databases {
        sessions_become(database, 0).await;
    }
    let callers: Vec<_> = (0..30)
        .map(|n| {
            let store = stores[n % 3].clone();
            tokio::spawn(async move { store.poll().await.unwrap().tenant_id })
        })
        .collect();
    let mut most = 0;
    while callers.iter().any(|one| !one.is_finished()) {
        let counts = "SELECT count(*)::text FROM pg_stat_activity
                      WHERE application_name = 'polychron' AND backend_type = 'client backend' AND datname = ANY(";
        let names: Vec<String> = databases
            .iter()
            .map(|one| one.url.expose().rsplit('/').next().unwrap().to_owned())
            .collect();
        let open: i64 = databases[0]
            .text(&format!("{counts}'{{{}}}')", names.join(",")))
            .await
            .parse()
            .unwrap();
        most = most.max(open);
    }
    for (n, one) in callers.into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), databases[n % 3].tenant, "each sees its own database");
    }
    // The server may take a moment to end a session that was closed to make room.
    assert!((1..=3 + 2).contains(&most), "{most}");
    let (one, two, three) = (
        sessions(&databases[0]).await,
        sessions(&databases[1]).await,
        sessions(&databases[2]).await,
    );
    assert!(one + two + three <= 5, "{one} {two} {three}");
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_another_database_and_is_closed_in_time() {
    let (one, other) = (TenantDatabase::postgres().await, TenantDatabase::postgres().await);
    let connections = Connections::new(Clock::Manual(one.clock.clone()), 1);
    let (first, second) = (store(&one, &connections), store(&other, &connections));
    for _ in 0..3 {
        assert_eq!(first.poll().await.unwrap().tenant_id, one.tenant);
        sessions_become(&other, 0).await;
        assert_eq!(sessions(&one).await, 1);
        assert_eq!(second.poll().await.unwrap().tenant_id, other.tenant);
        sessions_become(&one, 0).await;
        assert_eq!(sessions(&other).await, 1);
    }
    one.clock.advance(Duration::from_secs(29));
    connections.close_idle();
    assert_eq!(sessions(&other).await, 1);
    one.clock.advance(Duration::from_secs(1));
    connections.close_idle();
    sessions_become(&other, 0).await;
    assert_eq!(second.poll().await.unwrap().tenant_id, other.tenant);
}

#[tokio::test]
async fn a_connection_with_a_cancelled_statement_is_not_reused() {
    let database = TenantDatabase::postgres().await;
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 1);
    let store = store(&database, &connections);
    store.poll().await.unwrap();
    let pid = "SELECT string_agg(pid::text, ',') FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'polychron'";
    let before = database.text(pid).await;
    // Another session's lock delays the next statement until its caller gives up.
    let mut blocker = PgConnection::connect(database.url.expose()).await.unwrap();
    let mut transaction = blocker.begin().await.unwrap();
    sqlx::query("LOCK TABLE polychron_job").execute(&mut *transaction).await.unwrap();
    let impatient = tokio::time::timeout(Duration::from_millis(200), store.find_job("a"));
    assert!(impatient.await.is_err());
    // The only permit is free again immediately, and the result belongs to this statement.
    assert_eq!(store.owner().await.unwrap(), Some(database.tenant));
    transaction.rollback().await.unwrap();
    assert_eq!(store.find_job("a").await.unwrap(), None);
    sessions_become(&database, 1).await;
    assert_ne!(database.text(pid).await, before);
}

#[tokio::test]
async fn a_session_ended_by_the_server_costs_at_most_one_error() {
    let database = TenantDatabase::postgres().await;
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 4);
    let store = store(&database, &connections);
    for trusted in [true, false] {
        store.poll().await.unwrap();
        let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'polychron'";
        database.texts(end).await;
        sessions_become(&database, 0).await;
        if trusted {
            assert!(matches!(store.poll().await, Err(StoreError::Unreachable(_))));
        } else {
            database.clock.advance(Duration::from_secs(6)); // idle for so long that it is tested before use
        }
        store.poll().await.unwrap();
    }
}

#[tokio::test]
async fn no_session_is_left_in_a_transaction() {
    let database = TenantDatabase::postgres().await;
    let store = database.store();
    super::store::exercise(&database, &store).await;
    let states = "SELECT DISTINCT state FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'polychron'";
    assert_eq!(database.text(states).await, "idle");
}

#[tokio::test]
async fn an_exhausted_budget_is_reported_as_busy() {
    let database = TenantDatabase::postgres().await;
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 1);
    let store = Arc::new(store(&database, &connections));
    store.poll().await.unwrap();
    let mut blocker = PgConnection::connect(database.url.expose()).await.unwrap();
    let mut transaction = blocker.begin().await.unwrap();
    sqlx::query("LOCK TABLE polychron_identity").execute(&mut *transaction).await.unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.owner().await })
    };
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the first statement waits for its lock", || async {
        (database.text(waits).await == "1").then_some(())
    })
    .await;
    let second = store.find_job("a").await;
    assert!(matches!(second, Err(StoreError::Busy(3)) | Ok(None)), "{second:?}");
    transaction.rollback().await.unwrap();
    assert!(waiting.await.unwrap().is_ok_and(|owner| owner == Some(database.tenant)));
}

type IsExpected = fn(&StoreError) -> bool;

/// Why a database is unavailable, and the error for that. Errors never show secrets of the URL.
#[tokio::test]
async fn an_unavailable_server_is_reported_promptly_with_the_cause() {
    let database = TenantDatabase::postgres().await;
    let connections = Connections::new(Clock::System, 4);
    let open = |url: &str| {
        // As the control database lists it.
        let url = DatabaseUrl::stored(url.to_owned());
        Store::new(TenantId::new(database.now().time(), &Random::seeded(2)), &url, &connections)
    };
    let server = setting("POLYCHRON_TEST_POSTGRES");
    let (place, _) = server.rsplit_once('@').unwrap().1.split_once('/').unwrap();
    let unreachable: IsExpected = |error| matches!(error, StoreError::Unreachable(_));
    let denied: IsExpected = |error| matches!(error, StoreError::Denied(_));
    let cases: [(String, IsExpected); 6] = [
        ("postgres://ann:s3cret@127.0.0.1:1/x".to_owned(), unreachable),
        ("postgres://ann:s3cret@no-such-host.invalid/x".to_owned(), unreachable),
        (format!("postgres://postgres:s3cret@{place}/postgres"), denied),
        (format!("postgres://s3cret-role:s3cret@{place}/postgres"), denied),
        (format!("postgres://postgres:postgres@{place}/no_such_database"), denied),
        ("sqlite:///no/such/folder/x.db".to_owned(), unreachable),
    ];
    for (url, expected) in cases {
        let store = open(&url).unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(2), store.poll()).await;
        let error = asked.unwrap_or_else(|_| panic!("{url}: no answer within 2 s")).unwrap_err();
        assert!(expected(&error), "{url}: {error:?}");
        let shown = format!("{error} {} {error:?}", chain(&error));
        assert!(!shown.contains(":s3cret"), "{shown}");
    }
    for url in [
        "postgres://ann:s3cret@host:notaport/x",
        "postgres://ann:s3cret@host/x?sslmode=maybe",
        "sqlite://x.db?mode=s3cret",
    ] {
        let error = open(url).map(|_| ()).unwrap_err();
        let shown = format!("{error} {} {error:?}", chain(&error));
        assert!(!shown.contains("ann:s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn files_share_a_budget_but_no_rows() {
    let folder = Folder::new();
    let time = "2026-11-24T12:00:00Z".parse().unwrap();
    let connections = Connections::new(Clock::System, 2);
    let random = Random::seeded(3);
    let mut stores = Vec::new();
    for n in 0..6 {
        let url = folder.sqlite_database(&format!("{n}.db"));
        migrate(&url, Schema::Tenant).await.unwrap();
        let tenant = TenantId::new(time, &random);
        let store = Store::new(tenant, &url, &connections).unwrap();
        assert!(store.set_owner().await.unwrap().is_applied());
        stores.push((tenant, Arc::new(store)));
    }
    let callers: Vec<_> = (0..60)
        .map(|n| {
            let (tenant, store) = stores[n % 6].clone();
            tokio::spawn(async move { store.poll().await.unwrap().tenant_id == tenant })
        })
        .collect();
    for one in callers {
        assert!(one.await.unwrap());
    }
}

#[tokio::test]
async fn a_control_database_registers_and_unregisters_workers() {
    let url = testkit::postgres_database().await;
    migrate(&url, Schema::Control).await.unwrap();
    let folder = Folder::new();
    let file = folder.sqlite_database("control.db");
    migrate(&file, Schema::Control).await.unwrap();
    for url in [url, file] {
        let control = Control::new(&url, &Connections::new(Clock::System, 2)).unwrap();
        let now = control.now().await.unwrap();
        let worker = shared::store::Worker {
            name: "w".into(),
            host: "h".into(),
            pid: 7,
            version: "1".into(),
            queues: vec!["a".into(), "b\"".into()],
            job_types: vec![],
            slots: 5,
            running: 1,
            started_at: now.time(),
            seen_at: now.time(),
            handlers: Vec::new(),
        };
        control.register_worker(&worker).await.unwrap();
        let seen_at = now + Duration::from_secs(15);
        let later = shared::store::Worker { running: 2, seen_at: seen_at.time(), ..worker.clone() };
        control.register_worker(&later).await.unwrap();
        assert_eq!(control.list_workers(now).await.unwrap(), std::slice::from_ref(&later));
        assert_eq!(control.list_workers(seen_at).await.unwrap(), []);
        control.unregister_worker("other", now).await.unwrap();
        assert_eq!(control.list_workers(now).await.unwrap().len(), 1);
        control.unregister_worker("w", now).await.unwrap();
        assert_eq!(control.list_workers(now).await.unwrap(), []);
    }
}

#[tokio::test]
async fn dropping_the_last_owner_closes_all_connections() {
    let database = TenantDatabase::postgres().await;
    let connections = Connections::new(Clock::System, 4);
    let store = store(&database, &connections);
    store.poll().await.unwrap();
    drop(connections);
    store.poll().await.unwrap();
    drop(store);
    sessions_become(&database, 0).await;
}

/// Small managed servers give a role few connections; several processes of ours, and the application, share them.
#[tokio::test]
async fn nothing_fails_when_a_role_or_a_database_has_few_connections_and_idle_ones_are_given_back()
{
    let database = TenantDatabase::postgres().await;
    let (server, name) = database.url.expose().rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let role = format!("few_{name}");
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 3;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    );
    database.execute(&grants).await;
    let url: DatabaseUrl = format!("postgres://{role}:x@{place}/{name}").parse().unwrap();
    for limit in [
        "SELECT 1".to_owned(),
        format!("ALTER ROLE {role} CONNECTION LIMIT -1; ALTER DATABASE {name} CONNECTION LIMIT 4"),
    ] {
        database.execute(&limit).await;
        let processes = [(); 3].map(|()| Connections::within(Clock::System, None));
        let stores: Vec<Arc<Store>> = processes
            .iter()
            .map(|process| Arc::new(Store::new(database.tenant, &url, process).unwrap()))
            .collect();
        let callers: Vec<_> = (0..60)
            .map(|n| {
                let store = stores[n % 3].clone();
                tokio::spawn(async move { store.poll().await.map(drop) })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        // The application finds a connection, although none of ours has been idle for long.
        eventually("the application connects", || async {
            PgConnection::connect(url.expose()).await.ok()
        })
        .await;
    }
    let drop = format!("ALTER DATABASE {name} CONNECTION LIMIT -1; DROP OWNED BY {role}");
    database.execute(&drop).await;
    database.execute(&format!("DROP ROLE {role}")).await;
}
