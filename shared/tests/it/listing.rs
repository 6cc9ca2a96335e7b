//! A tenant that is missing from the list is treated as removed. So a truncated list must be an error,
//! whatever truncated it.

use shared::clock::{Clock, Time};
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{Connections, Control, Schema, migrate};
use shared::tenant::{Tenant, TenantStatus};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use testkit::{Folder, execute, postgres_database};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// Enough for many messages and pages.
const TENANTS: usize = 300;

fn control(url: &DatabaseUrl) -> Control {
    Control::new(url, &Connections::new(Clock::System, 4)).unwrap()
}

/// A control database with many tenants, each with a long name.
async fn filled(url: &DatabaseUrl) {
    migrate(url, Schema::Control).await.unwrap();
    let control = control(url);
    assert!(control.list_tenants().await.unwrap().is_empty());
    let time: Time = "2026-11-24T12:00:00Z".parse().unwrap();
    let random = Random::seeded(1);
    let tenant = Tenant {
        id: TenantId::new(time, &random),
        slug: "t".to_owned(),
        name: "x".repeat(500),
        status: TenantStatus::Active,
        database_url: "sqlite://x.db".parse().unwrap(),
        schema: None,
        max_running: None,
        created_at: time,
        updated_at: time,
    };
    for n in 0..TENANTS {
        let (id, slug) = (TenantId::new(time, &random), format!("t{n}"));
        control.insert_tenant(&Tenant { id, slug, ..tenant.clone() }).await.unwrap();
    }
    assert_eq!(control.list_tenants().await.unwrap().len(), TENANTS);
}

/// A proxy that closes each connection after it has forwarded this many bytes of the server.
async fn cut_after(url: &DatabaseUrl, bytes: u64) -> DatabaseUrl {
    let (rest, database) = url.expose().rsplit_once('/').unwrap();
    let (user, server) = rest.rsplit_once('@').unwrap();
    let (server, listener) = (server.to_owned(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut upstream = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.split();
                let (from_server, mut to_server) = upstream.split();
                let mut limited = from_server.take(bytes);
                tokio::select! {
                    _ = copy(&mut from_client, &mut to_server) => {}
                    _ = copy(&mut limited, &mut to_client) => {}
                }
                let _ = to_client.shutdown().await;
            });
        }
    });
    format!("{user}@127.0.0.1:{port}/{database}").parse().unwrap()
}

#[tokio::test]
async fn a_broken_connection_to_postgres_shortens_no_list() {
    let url = postgres_database().await;
    filled(&url).await;
    let (mut failed, mut complete) = (0, 0);
    for kilobytes in (1..).step_by(13).take_while(|kilobytes| *kilobytes < 400) {
        match control(&cut_after(&url, kilobytes << 10).await).list_tenants().await {
            Ok(tenants) => {
                assert_eq!(tenants.len(), TENANTS);
                complete += 1;
            }
            Err(_) => failed += 1,
        }
    }
    assert!(failed > 5 && complete > 5, "{failed} {complete}");
}

/// Exhausted memory ends a listing in its middle, or the thread that reads it.
#[tokio::test]
async fn exhausted_memory_of_sqlite_shortens_no_list() {
    let folder = Folder::new();
    let url = folder.sqlite_database("control.db");
    filled(&url).await;
    let (mut failed, mut complete) = (0, 0);
    let mut session = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for kilobytes in (100..900).rev().step_by(25) {
        // Concerns the whole process, and can only be lowered.
        let limit = format!("PRAGMA hard_heap_limit = {}", kilobytes << 10);
        let _ = sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut session).await;
        match control(&url).list_tenants().await {
            Ok(tenants) => {
                assert_eq!(tenants.len(), TENANTS, "{kilobytes} KiB");
                complete += 1;
            }
            Err(_) => failed += 1,
        }
    }
    assert!(failed > 0 && complete > 0, "{failed} {complete}");
}

/// The list contains the number of tenants. If it differs from the number of rows, rows are missing.
#[tokio::test]
async fn a_list_with_fewer_rows_than_tenants_is_an_error() {
    let url = postgres_database().await;
    filled(&url).await;
    execute(
        &url,
        "ALTER TABLE polychron_tenant RENAME TO kept;
         CREATE SEQUENCE reads;
         CREATE FUNCTION second_read() RETURNS boolean LANGUAGE plpgsql VOLATILE AS
             $$ BEGIN RETURN nextval('reads') <= 450; END $$;
         CREATE VIEW polychron_tenant AS SELECT * FROM kept WHERE second_read()",
    )
    .await;
    let error = control(&url).list_tenants().await.unwrap_err();
    assert!(shared::store::chain(&error).contains("the list of tenants ended early"), "{error}");
}
