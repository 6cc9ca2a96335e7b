//! apalis on PostgreSQL, without a broker: ten tasks at once, a hundred taken at a time.
//!
//! `work` runs it; `enqueue` makes its tables, and enqueues `JOBS` tasks on SIGUSR1.

use std::time::Duration;

use anyhow::Context as _;
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use futures::stream;
use sqlx::postgres::PgPoolOptions;
use tokio::signal::unix::{SignalKind, signal};

const CONCURRENCY: usize = 10;
const BATCH: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let setting = |name: &'static str| std::env::var(name).context(name);
    let pool = PgPoolOptions::new()
        .max_connections(CONCURRENCY as u32)
        .connect(&setting("DATABASE_URL")?)
        .await?;
    let config = Config::default().queue("noop").batch_size(BATCH);
    match std::env::args().nth(1).as_deref() {
        Some("work") => {
            let backend = PostgresStorage::new(&pool).with_config(config).with_pubsub();
            println!("ready");
            let worker = WorkerBuilder::new("worker")
                .backend(backend)
                .concurrency(CONCURRENCY)
                .parallelize(tokio::spawn)
                .build(noop);
            worker.run().await?;
        }
        _ => {
            PostgresStorage::setup(&pool).await?;
            let jobs: u32 = setting("JOBS")?.parse()?;
            let mut backend = PostgresStorage::new(&pool).with_config(config);
            let mut start = signal(SignalKind::user_defined1())?;
            println!("ready");
            start.recv().await;
            let mut tasks = stream::iter((0..jobs).map(|n| TaskBuilder::new(n).build()));
            backend.push_all(&mut tasks).await?;
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    }
    Ok(())
}

async fn noop(_: u32) -> Result<(), BoxDynError> {
    Ok(())
}
