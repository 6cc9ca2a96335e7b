//! Whether a PostgreSQL server's statistics tell, without a connection to a database, that
//! something was committed in it.

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{ChangeToken, Connections, Schema, Store, migrate};
use sqlx::{Connection as _, PgConnection};
use testkit::{eventually, execute, postgres_database};

const CHANGE: &str =
    "INSERT INTO polychron_job(name, job_type, schedule) VALUES (gen_random_uuid(), 'noop', '{}')";

/// A tenant's database, which nobody is connected to.
struct Aside {
    id: TenantId,
    url: DatabaseUrl,
}

impl Aside {
    async fn new() -> Aside {
        let url = postgres_database().await;
        migrate(&url, Schema::Tenant).await.unwrap();
        let id = TenantId::new(Clock::System.wall_time(), &Random::system());
        let aside = Aside { id, url };
        aside.store(&Connections::new(Clock::System, 4)).claim_database(false).await.unwrap();
        aside.alone().await;
        aside
    }

    fn store(&self, connections: &Connections) -> Store {
        Store::new(self.id, &self.url, connections).unwrap()
    }

    /// Waits until all sessions have ended, and with that have reported what they wrote.
    async fn alone(&self) {
        let (server, name) = self.url.expose().rsplit_once('/').unwrap();
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = $1 AND backend_type = 'client backend'";
        eventually("nobody is connected", || async {
            let mut other = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
            let asked = sqlx::query_scalar(sessions).bind(name).fetch_one(&mut other);
            let count: i64 = asked.await.unwrap();
            (count == 0).then_some(())
        })
        .await;
    }

    /// Its change_token, read anew.
    async fn change_token(&self) -> Option<ChangeToken> {
        let store = self.store(&Connections::new(Clock::System, 4));
        store.now().await.unwrap();
        store.change_token().await
    }
}

#[tokio::test]
async fn it_stays_the_same_until_something_is_committed_by_whomever() {
    let one = Aside::new().await;
    // Autovacuum writes statistics once, whenever it comes round.
    eventually("a look that changes nothing", || async {
        let before = one.change_token().await.unwrap();
        one.store(&Connections::new(Clock::System, 4)).poll().await.unwrap();
        one.alone().await;
        (one.change_token().await.unwrap() == before).then_some(())
    })
    .await;
    for change in
        [CHANGE, "UPDATE polychron_job SET job_type = 'other'", "DELETE FROM polychron_job"]
    {
        let before = one.change_token().await;
        execute(&one.url, change).await;
        one.alone().await;
        let after = one.change_token().await;
        assert!(after.is_some() && after != before, "{change}");
    }
}

#[tokio::test]
async fn a_connection_to_any_database_of_the_server_is_enough() {
    let (one, other) = (Aside::new().await, Aside::new().await);
    let connections = Connections::new(Clock::System, 4);
    let (store, others) = (one.store(&connections), other.store(&connections));
    assert_eq!(store.change_token().await, None, "it was not asked for its time yet");
    others.now().await.unwrap();
    store.now().await.unwrap();
    store.close_idle();
    assert_eq!(connections.count().postgres, (1, 1));
    let before = store.change_token().await;
    assert!(before.is_some());
    execute(&one.url, CHANGE).await;
    eventually("the change is told", || async {
        (store.change_token().await != before).then_some(())
    })
    .await;
    assert!(store.change_token().await.is_some());
    assert_eq!(connections.count().postgres, (1, 1), "none was opened to the database itself");
}

#[tokio::test]
async fn a_database_made_after_the_others_were_read_is_read_at_once() {
    let connections = Connections::new(Clock::System, 4);
    for _ in 0..2 {
        let store = Aside::new().await.store(&connections);
        store.now().await.unwrap();
        assert!(store.change_token().await.is_some());
    }
}

#[tokio::test]
async fn a_server_that_does_not_count_tells_nothing() {
    let one = Aside::new().await;
    let (_, name) = one.url.expose().rsplit_once('/').unwrap();
    execute(&one.url, &format!("ALTER DATABASE {name} SET track_counts = off")).await;
    assert_eq!(one.change_token().await, None);
}
