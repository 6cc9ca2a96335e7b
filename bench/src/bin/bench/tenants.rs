//! What many tenants without due jobs cost, and how two producers divide them: a thousand databases on
//! one PostgreSQL server, ten thousand SQLite files.
//!
//! A producer starts and polls all of them once. Then it is measured while nothing is due: all that it
//! and the servers use is the cost of watching.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use polychron_bench::{Sample, Servers, Sheet, Usage, drop_database, drop_virtual_host};
use serde_json::json;
use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{Connections, Schema, Store, migrate};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::{postgres_database, setting};
use tests::{Process, System, free_address, get};

use crate::Options;

/// How many tenants there are of each kind.
const POSTGRES: usize = 1_000;
const SQLITE: usize = 10_000;
/// How long to wait before measuring a producer: idle connections are closed by then.
const IDLE_FOR: Duration = Duration::from_secs(45);
/// How long it is measured.
const WINDOW: Duration = Duration::from_secs(120);
/// How often its progress is read.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long each wait may take.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

/// A producer with the address of its metrics.
struct Producer {
    process: Process,
    address: SocketAddr,
}

/// Measures each kind once, whatever the number of rounds.
///
/// # Errors
/// If the servers are missing, or fail.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    let settings = json!({"postgres": POSTGRES, "sqlite": SQLITE, "seconds": WINDOW.as_secs()});
    let mut sheet = Sheet::new("tenants", &[], settings);
    for (kind, count) in [(Kind::Sqlite, SQLITE), (Kind::Postgres, POSTGRES)] {
        let group = format!("{count} {}", format!("{kind:?}").to_lowercase());
        if !options.includes(&group) {
            continue;
        }
        let system = System::new(0).await;
        let urls = make_tenants(kind, count, &system).await?;
        let mut sample = watch(&servers, &system, count).await?;
        if kind == Kind::Postgres {
            sample.push(("PostgreSQL CPU % unwatched", unwatched(&servers).await));
        }
        sheet.add(&group, "at rest", sample);
        if kind == Kind::Postgres {
            for url in urls {
                drop_database(url.expose()).await?;
            }
        }
        drop_database(system.control_url()).await?;
        drop_virtual_host(&system.amqp_url).await;
    }
    Ok(sheet)
}

/// Starts one producer, then another, and kills the first.
async fn watch(servers: &Servers, system: &System, count: usize) -> anyhow::Result<Sample> {
    let clock = Clock::System;
    let started = clock.boot_time();
    let first = Producer::start(system);
    let all = count as f64;
    let has_polled_all = |figures: &Figures| figures.polls >= all && figures.watched >= all;
    first.until(has_polled_all).await?;
    let first_sweep = (clock.boot_time() - started).as_secs_f64();
    clock.sleep(IDLE_FOR).await;

    let usage = || (Usage::of_tree(first.process.pid()), servers.postgres());
    let (before, figures_before) = (usage(), first.figures().await?);
    let mut most = Open::default();
    let began = clock.boot_time();
    while clock.boot_time() - began < WINDOW {
        clock.sleep(ASK_EVERY).await;
        most = most.max(first.open()?);
    }
    let (after, figures_after) = (usage(), first.figures().await?);
    let seconds = (clock.boot_time() - began).as_secs_f64();
    let share = |before: Usage, after: Usage| (after - before).cpu.as_secs_f64() / seconds * 100.0;

    let second = Producer::start(system);
    let divided = |figures: &Figures| figures.watched > 0.0 && figures.watched < all;
    let (one, two) = (first.until(divided).await?, second.until(divided).await?);
    let killed = clock.boot_time();
    second.process.kill();
    first.until(|figures| figures.watched >= all).await?;
    let handed_over = (clock.boot_time() - killed).as_secs_f64();
    Ok(vec![
        ("own CPU %", share(before.0, after.0)),
        ("PostgreSQL CPU %", share(before.1, after.1)),
        ("RSS MB", after.0.rss as f64 / 1e6),
        ("threads", most.threads as f64),
        ("descriptors", most.descriptors as f64),
        ("connections", figures_after.connections),
        ("polls/s", (figures_after.polls - figures_before.polls) / seconds),
        ("skipped polls/s", (figures_after.skipped - figures_before.skipped) / seconds),
        ("interval s", figures_after.interval),
        ("first sweep s", first_sweep),
        ("first's tenants of two", one.watched),
        ("second's tenants of two", two.watched),
        ("handed over s", handed_over),
    ])
}

/// What PostgreSQL uses when its databases are not polled: its autovacuum visits every database that was
/// ever connected to.
async fn unwatched(servers: &Servers) -> f64 {
    let clock = Clock::System;
    clock.sleep(IDLE_FOR).await;
    let (before, began) = (servers.postgres(), clock.boot_time());
    clock.sleep(WINDOW).await;
    let seconds = (clock.boot_time() - began).as_secs_f64();
    (servers.postgres() - before).cpu.as_secs_f64() / seconds * 100.0
}

/// A producer's metrics.
struct Figures {
    polls: f64,
    skipped: f64,
    watched: f64,
    interval: f64,
    connections: f64,
}

/// The highest number of a producer's open resources.
#[derive(Clone, Copy, Default)]
struct Open {
    threads: usize,
    descriptors: usize,
}

impl Open {
    fn max(self, other: Open) -> Open {
        Open {
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

impl Producer {
    fn start(system: &System) -> Producer {
        let address = free_address();
        let process = system.producer(&[("POLYCHRON_HTTP", &address.to_string())]);
        Producer { process, address }
    }

    async fn figures(&self) -> anyhow::Result<Figures> {
        let answer = get(self.address, "/metrics").await.context("the producer does not answer")?;
        let connections = ["postgres", "sqlite"].map(|kind| {
            let of = |state| {
                format!("polychron_database_connections{{kind=\"{kind}\",state=\"{state}\"}}")
            };
            answer.figure(&of("used")) + answer.figure(&of("idle"))
        });
        Ok(Figures {
            polls: answer.figure("polychron_polls_total"),
            skipped: answer.figure("polychron_polls_skipped_total"),
            watched: answer.figure("polychron_tenants_watched"),
            interval: answer.figure("polychron_poll_interval_seconds"),
            connections: connections.iter().sum(),
        })
    }

    /// Waits until its metrics meet a condition.
    async fn until(&self, so: impl Fn(&Figures) -> bool) -> anyhow::Result<Figures> {
        let clock = Clock::System;
        let began = clock.boot_time();
        while clock.boot_time() - began < LIMIT {
            // It does not answer yet while it starts.
            if let Ok(figures) = self.figures().await
                && so(&figures)
            {
                return Ok(figures);
            }
            clock.sleep(ASK_EVERY).await;
        }
        anyhow::bail!("a producer is not as expected after {} s", LIMIT.as_secs())
    }

    fn open(&self) -> anyhow::Result<Open> {
        let of = |what: &str| -> anyhow::Result<usize> {
            Ok(fs::read_dir(format!("/proc/{}/{what}", self.process.pid()))?.count())
        };
        Ok(Open { threads: of("task")?, descriptors: of("fd")? })
    }
}

/// Creates the tenants' databases and adds the tenants.
pub(crate) async fn make_tenants(
    kind: Kind,
    count: usize,
    system: &System,
) -> anyhow::Result<Vec<DatabaseUrl>> {
    let (now, random) = (Clock::System.wall_time(), Random::system());
    let ids: Vec<TenantId> = (0..count).map(|_| TenantId::new(now, &random)).collect();
    let urls = match kind {
        Kind::Postgres => make_databases(&ids).await?,
        Kind::Sqlite => make_files(&ids, &system.folder.path("")).await?,
    };
    list_tenants(&ids, &urls, system).await?;
    Ok(urls)
}

/// Adds tenants to the control database: `t1`, `t2` and so on.
pub(crate) async fn list_tenants(
    ids: &[TenantId],
    urls: &[DatabaseUrl],
    system: &System,
) -> anyhow::Result<()> {
    let mut control = PgConnection::connect(system.control_url()).await?;
    sqlx::query(
        "INSERT INTO polychron_tenant(id, slug, name, database_url, schema)
         SELECT id, 't' || n, 't' || n, url, CASE WHEN url LIKE 'postgres%' THEN 'public' END
         FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS made(id, url, n)",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(urls.iter().map(|url| url.expose().to_owned()).collect::<Vec<_>>())
    .execute(&mut control)
    .await?;
    Ok(())
}

/// Copies of one migrated database.
async fn make_databases(ids: &[TenantId]) -> anyhow::Result<Vec<DatabaseUrl>> {
    let template = postgres_database().await;
    migrate(&template, Schema::Tenant).await?;
    let urls = copy_database(&template, ids).await?;
    drop_database(template.expose()).await?;
    Ok(urls)
}

/// Copies of a database without an owner, each for the tenant with this id.
pub(crate) async fn copy_database(
    template: &DatabaseUrl,
    ids: &[TenantId],
) -> anyhow::Result<Vec<DatabaseUrl>> {
    let (server, name) = template.expose().rsplit_once('/').context("the URL names no database")?;
    let mut admin = PgConnection::connect(&setting("POLYCHRON_TEST_POSTGRES")).await?;
    let connections = Connections::new(Clock::System, 4);
    let mut urls = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let statement = format!("CREATE DATABASE {name}_{n} TEMPLATE {name}");
        admin.execute(AssertSqlSafe(statement)).await?;
        let url: DatabaseUrl = format!("{server}/{name}_{n}").parse()?;
        let store = Store::new(*id, &url, &connections)?;
        ensure!(store.set_owner().await?.is_applied(), "the database is taken");
        urls.push(url);
    }
    Ok(urls)
}

/// Copies of one migrated file.
async fn make_files(ids: &[TenantId], folder: &Path) -> anyhow::Result<Vec<DatabaseUrl>> {
    let file = folder.join("template.db");
    migrate(&DatabaseUrl::of_sqlite_file(&file), Schema::Tenant).await?;
    copy_file(&file, ids, folder).await
}

/// Copies of a file without an owner, each with another id in its place.
pub(crate) async fn copy_file(
    file: &Path,
    ids: &[TenantId],
    folder: &Path,
) -> anyhow::Result<Vec<DatabaseUrl>> {
    let Some(first) = ids.first() else { return Ok(Vec::new()) };
    {
        let url = DatabaseUrl::of_sqlite_file(file);
        let connections = Connections::new(Clock::System, 1);
        let owned = Store::new(*first, &url, &connections)?.set_owner().await?;
        ensure!(owned.is_applied(), "the database is taken");
    }
    // Closing the last connection checkpoints the write-ahead log.
    while file.with_extension("db-wal").exists() {
        Clock::System.sleep(ASK_EVERY).await;
    }
    let mut bytes = fs::read(file)?;
    let written = first.to_string();
    let place = bytes.windows(written.len()).position(|window| window == written.as_bytes());
    let place = place.context("the template holds no id")?;
    let mut urls = Vec::new();
    for id in ids {
        bytes[place..place + written.len()].copy_from_slice(id.to_string().as_bytes());
        let copy = folder.join(format!("{id}.db"));
        fs::write(&copy, &bytes)?;
        urls.push(DatabaseUrl::of_sqlite_file(&copy));
    }
    Ok(urls)
}
