//! The private PostgreSQL and RabbitMQ that `scripts/services` has started.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::setting;

use crate::Usage;

/// The servers' processes.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    postgres: u32,
    rabbitmq: u32,
}

impl Servers {
    /// The servers of this run.
    ///
    /// # Errors
    /// If they are not running, or their files cannot be read.
    pub fn find() -> anyhow::Result<Servers> {
        let folder = setting("SERVICES_DIR");
        let folder = Path::new(&folder);
        let postgres = first_number(&folder.join("postgres/data/postmaster.pid"))?;
        let rabbitmq = first_number(&folder.join("rabbitmq/pid"))?;
        Ok(Servers { postgres, rabbitmq })
    }

    /// PostgreSQL's usage so far.
    pub fn postgres(&self) -> Usage {
        Usage::of_tree(self.postgres)
    }

    /// RabbitMQ's usage so far.
    pub fn rabbitmq(&self) -> Usage {
        Usage::of_tree(self.rabbitmq)
    }
}

fn first_number(file: &Path) -> anyhow::Result<u32> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = text.lines().next().unwrap_or_default();
    first.trim().parse().with_context(|| format!("{} begins with no number", file.display()))
}

/// Checks that commits reach the disk; otherwise the measurements would be meaningless.
///
/// # Errors
/// If the server's `fsync` or `synchronous_commit` is off.
pub async fn require_fsync() -> anyhow::Result<()> {
    let mut admin = PgConnection::connect(&setting("POLYCHRON_TEST_POSTGRES")).await?;
    for name in ["fsync", "synchronous_commit"] {
        let query = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
        let value: String = query.fetch_one(&mut admin).await?;
        ensure!(value == "on", "{name} is {value}; start the services with SERVICES_FSYNC=on");
    }
    Ok(())
}

/// Deletes a database after use, since hundreds of runs would fill the disk.
///
/// # Errors
/// If the server refuses.
pub async fn drop_database(url: &str) -> anyhow::Result<()> {
    let (_, name) = url.rsplit_once('/').context("the URL names no database")?;
    let mut admin = PgConnection::connect(&setting("POLYCHRON_TEST_POSTGRES")).await?;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
    Ok(())
}

/// Deletes a virtual host with its queues.
pub async fn drop_virtual_host(amqp_url: &str) {
    let (_, name) = amqp_url.rsplit_once('/').unwrap_or_default();
    testkit::management("DELETE", &format!("/api/vhosts/{name}"), "").await;
}
