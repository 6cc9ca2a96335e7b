//! The change token of a PostgreSQL database: whether the server's statistics show that something
//! was committed in it, without a connection to that database.

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{ChangeToken, Connections, Schema, Store, migrate};
use sqlx::{Connection as _, PgConnection};
use testkit::{eventually, execute, postgres_database};

const CHANGE: &str =
    "INSERT INTO polychron_job(name, job_type, schedule) VALUES (gen_random_uuid(), 'noop', '{}')";

/// A tenant's database without connections.
struct IdleDatabase {
    id: TenantId,
    url: DatabaseUrl,
}

impl IdleDatabase {
    async fn new() -> IdleDatabase {
        let url = postgres_database().await;
        migrate(&url, Schema::Tenant).await.unwrap();
        let id = TenantId::new(Clock::System.wall_time(), &Random::system());
        let idle = IdleDatabase { id, url };
        assert!(
            idle.store(&Connections::new(Clock::System, 4)).set_owner().await.unwrap().is_applied()
        );
        idle.disconnected().await;
        idle
    }

    fn store(&self, connections: &Connections) -> Store {
        Store::new(self.id, &self.url, connections).unwrap()
    }

    /// Waits until all sessions have ended, because a session reports its last statistics then.
    async fn disconnected(&self) {
        let (server, name) = self.url.expose().rsplit_once('/').unwrap();
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = $1 AND backend_type = 'client backend'";
        eventually("there are no connections", || async {
            let mut other = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
            let query = sqlx::query_scalar(sessions).bind(name).fetch_one(&mut other);
            let count: i64 = query.await.unwrap();
            (count == 0).then_some(())
        })
        .await;
    }

    /// Its change token, read over new connections.
    async fn change_token(&self) -> Option<ChangeToken> {
        let store = self.store(&Connections::new(Clock::System, 4));
        store.now().await.unwrap();
        store.change_token().await
    }
}

#[tokio::test]
async fn only_a_commit_changes_the_token() {
    let one = IdleDatabase::new().await;
    // Autovacuum may change the statistics once.
    eventually("a poll that changes nothing", || async {
        let before = one.change_token().await.unwrap();
        one.store(&Connections::new(Clock::System, 4)).poll().await.unwrap();
        one.disconnected().await;
        (one.change_token().await.unwrap() == before).then_some(())
    })
    .await;
    for change in
        [CHANGE, "UPDATE polychron_job SET job_type = 'other'", "DELETE FROM polychron_job"]
    {
        let before = one.change_token().await;
        execute(&one.url, change).await;
        one.disconnected().await;
        let after = one.change_token().await;
        assert!(after.is_some() && after != before, "{change}");
    }
}

#[tokio::test]
async fn a_connection_to_any_database_of_the_server_is_enough() {
    let (one, other) = (IdleDatabase::new().await, IdleDatabase::new().await);
    let connections = Connections::new(Clock::System, 4);
    let (store, others) = (one.store(&connections), other.store(&connections));
    assert_eq!(store.change_token().await, None, "the database was not identified yet");
    others.now().await.unwrap();
    store.now().await.unwrap();
    store.close_idle();
    assert_eq!(connections.count().postgres, (1, 1));
    let before = store.change_token().await;
    assert!(before.is_some());
    execute(&one.url, CHANGE).await;
    eventually("the change is visible", || async {
        (store.change_token().await != before).then_some(())
    })
    .await;
    assert!(store.change_token().await.is_some());
    assert_eq!(
        connections.count().postgres,
        (1, 1),
        "no connection to the database itself was opened"
    );
}

#[tokio::test]
async fn a_new_database_has_a_token_immediately() {
    let connections = Connections::new(Clock::System, 4);
    for _ in 0..2 {
        let store = IdleDatabase::new().await.store(&connections);
        store.now().await.unwrap();
        assert!(store.change_token().await.is_some());
    }
}

#[tokio::test]
async fn without_statistics_there_is_no_token() {
    let one = IdleDatabase::new().await;
    let (_, name) = one.url.expose().rsplit_once('/').unwrap();
    execute(&one.url, &format!("ALTER DATABASE {name} SET track_counts = off")).await;
    assert_eq!(one.change_token().await, None);
}
