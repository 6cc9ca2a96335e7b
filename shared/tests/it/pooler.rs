//! PgBouncer: session mode works as a direct connection does; transaction mode is detected and
//! rejected with the reason.

use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::store::{Connections, Schema, Store, StoreError, migrate};
use testkit::{TenantDatabase, postgres_database, setting};

/// The database's URL through the pooler with this mode.
fn through(mode: &str, url: &DatabaseUrl) -> DatabaseUrl {
    let (login, place) = url.expose().split_once('@').unwrap();
    let (_, name) = place.split_once('/').unwrap();
    let pooler = setting(&format!("POLYCHRON_TEST_POOLER_{mode}"));
    format!("{login}@{pooler}/{name}").parse().unwrap()
}

fn store(database: &TenantDatabase, mode: &str) -> Store {
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 4);
    Store::new(database.tenant, &through(mode, &database.url), &connections).unwrap()
}

#[tokio::test]
async fn session_mode_works() {
    let url = through("SESSION", &postgres_database().await);
    migrate(&url, Schema::Tenant).await.unwrap();
    let database = TenantDatabase::postgres().await;
    super::store::exercise(&database, &store(&database, "SESSION")).await;
}

#[tokio::test]
async fn transaction_mode_is_rejected_with_the_reason() {
    let database = TenantDatabase::postgres().await;
    let error = store(&database, "TRANSACTION").poll().await.unwrap_err();
    assert!(matches!(error, StoreError::Pooled), "{error}");
    assert!(error.to_string().contains("pool_mode = session"), "{error}");

    let url = through("TRANSACTION", &postgres_database().await);
    assert!(matches!(migrate(&url, Schema::Tenant).await, Err(StoreError::Pooled)));
}
