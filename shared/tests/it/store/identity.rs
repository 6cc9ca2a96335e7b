//! The identity of a tenant's database: which tenant owns it.

use shared::clock::Clock;
use shared::id::TenantId;
use shared::store::{Connections, Store, StoreError};
use testkit::TenantDatabase;

on_both_stores! {
    a_database_of_another_tenant_is_rejected,
    a_database_is_adopted_only_on_request,
    a_change_of_owner_is_noticed,
}

fn store_of(database: &TenantDatabase, tenant: TenantId) -> Store {
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 8);
    Store::new(tenant, &database.url, &connections).unwrap()
}

async fn a_database_of_another_tenant_is_rejected(database: TenantDatabase) {
    let stranger = store_of(&database, TenantId::new(database.now().time(), &database.random));
    let owned =
        |answer| matches!(answer, Some(StoreError::Owned(owner)) if owner == database.tenant);
    assert!(owned(stranger.poll().await.err()));
    assert!(owned(stranger.now().await.err()));
    assert!(owned(stranger.list_jobs("", 9).await.err()));
    let text = stranger.poll().await.unwrap_err().to_string();
    assert!(text.contains("--adopt") && text.contains(&database.tenant.to_string()), "{text}");
    database.execute("DELETE FROM polychron_identity").await;
    assert!(matches!(stranger.poll().await, Err(StoreError::Unowned)));
    assert_eq!(stranger.owner().await.unwrap(), None);
}

async fn a_database_is_adopted_only_on_request(database: TenantDatabase) {
    let tenant = TenantId::new(database.now().time(), &database.random);
    let stranger = store_of(&database, tenant);
    assert!(database.store().set_owner().await.unwrap().is_applied(), "its own tenant may, again");
    assert!(!stranger.set_owner().await.unwrap().is_applied());
    assert_eq!(stranger.owner().await.unwrap(), Some(database.tenant));
    stranger.replace_owner().await.unwrap();
    assert_eq!(stranger.owner().await.unwrap(), Some(tenant));
    assert_eq!(stranger.poll().await.unwrap().tenant_id, tenant);
    assert_eq!(database.text("SELECT CAST(count(*) AS text) FROM polychron_identity").await, "1");
    let second = format!("INSERT INTO polychron_identity (tenant_id) VALUES ('{tenant}')");
    assert!(database.try_execute(&second).await.is_err());
}

/// A store must notice that its database was adopted by another tenant or given up.
async fn a_change_of_owner_is_noticed(database: TenantDatabase) {
    let store = database.store();
    store.poll().await.unwrap();
    let tenant = TenantId::new(database.now().time(), &database.random);
    store_of(&database, tenant).replace_owner().await.unwrap();
    assert!(matches!(store.poll().await, Err(StoreError::Owned(owner)) if owner == tenant));
    database.execute("DELETE FROM polychron_identity").await;
    assert!(matches!(store.poll().await, Err(StoreError::Unowned)));
}
