//! Sequences that lag behind their tables, as after a logical replication.

use serde_json::json;
use shared::clock::Clock;
use shared::store::{Change, Connections, Control, NewJob, Schema, migrate};
use testkit::{TenantDatabase, execute, postgres_database};

#[tokio::test]
async fn a_job_is_inserted_although_the_sequence_of_ids_lags_behind() {
    let database = TenantDatabase::postgres().await;
    let store = database.store();
    for n in 0..20 {
        database.insert_job(&format!("copied {n}")).await;
    }
    assert_eq!(store.find_lagging_ids().await.unwrap(), None);
    database.execute("SELECT setval('polychron_job_id_seq', 1, false)").await;
    let lagging = store.find_lagging_ids().await.unwrap().unwrap();
    assert_eq!((lagging.name.as_str(), lagging.highest), ("public.polychron_job_id_seq", 20));
    let new = NewJob::new("new", "noop", json!({"every": "1h"}));
    assert_eq!(store.insert_job(&new).await.unwrap().0, 21);
    assert_eq!(store.find_lagging_ids().await.unwrap(), None);
    let again = store.insert_job(&new).await.unwrap_err().to_string();
    assert!(
        again.contains("polychron_job_name_key"),
        "a name that is taken is still refused: {again}"
    );
    database.execute("SELECT setval('polychron_job_id_seq', 5)").await;
    store.insert_notifier().await.unwrap();
}

#[tokio::test]
async fn a_change_is_audited_although_the_sequence_of_ids_lags_behind() {
    let url = postgres_database().await;
    migrate(&url, Schema::Control).await.unwrap();
    let control = Control::new(&url, &Connections::new(Clock::System, 2)).unwrap();
    let now = control.now().await.unwrap();
    let change = Change {
        actor: "ann".into(),
        action: "job pause".into(),
        tenant: None,
        target: None,
        before: None,
        reason: None,
    };
    for _ in 0..3 {
        control.insert_audit(&change, now).await.unwrap();
    }
    execute(&url, "SELECT setval('polychron_audit_id_seq', 1, false)").await;
    assert!(control.find_lagging_ids().await.unwrap().is_some());
    assert_eq!(control.insert_audit(&change, now).await.unwrap(), 4);
    assert_eq!(control.find_lagging_ids().await.unwrap(), None);
}
