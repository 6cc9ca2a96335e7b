//! Databases as former versions left them.

use shared::database_url::DatabaseUrl;
use shared::store::Schema;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// Brings a database to the schema of a former version, by its migrations alone; an SQLite file is
/// created if it does not exist.
pub async fn migrate_to(url: &DatabaseUrl, schema: Schema, version: i64) {
    let (mut postgres, mut sqlite, record) = match schema {
        Schema::Control => (
            sqlx::migrate!("../migrations/control/postgres"),
            sqlx::migrate!("../migrations/control/sqlite"),
            "polychron_control_migration",
        ),
        Schema::Tenant => (
            sqlx::migrate!("../migrations/tenant/postgres"),
            sqlx::migrate!("../migrations/tenant/sqlite"),
            "polychron_tenant_migration",
        ),
    };
    let migrator: &mut Migrator = if url.is_sqlite() { &mut sqlite } else { &mut postgres };
    migrator.dangerous_set_table_name(record);
    if url.is_sqlite() {
        let path = format!("{}?mode=rwc", url.expose());
        let mut connection = SqliteConnection::connect(&path).await.unwrap();
        migrator.run_to(version, &mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url.expose()).await.unwrap();
        migrator.run_to(version, &mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
