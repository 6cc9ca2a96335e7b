//! 10,000 tenants with 1,000,000 executions: a few with a very long history, most with a short one, and
//! some with problems.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use chrono::TimeDelta;
use polychron_bench::drop_database;
use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{Schema, migrate};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use testkit::{execute, postgres_database};
use tests::System;

use crate::tenants::{copy_database, copy_file, list_tenants};

/// A kind of tenant.
#[derive(Clone, Copy)]
struct Profile {
    /// How many there are, in SQLite and in PostgreSQL.
    count: (usize, usize),
    jobs: i32,
    executions: i32,
    /// One in this many executions has failed.
    fails: i32,
    /// A statement that causes its problem.
    problem: Option<&'static str>,
}

/// An overdue job.
const LATE: &str =
    "UPDATE polychron_job SET next_run_at = '2026-01-01T00:00:00+00:00' WHERE id = 1";
const QUARANTINED: &str = "UPDATE polychron_job SET quarantined_reason = 'unknown time zone `Europe/Lundon`' WHERE id = 2";

/// Together 10,000 tenants and 1,000,000 executions.
const PROFILES: &[Profile] = &[
    Profile { count: (4, 2), jobs: 2_000, executions: 100_000, fails: 500, problem: None },
    Profile { count: (9_586, 94), jobs: 20, executions: 40, fails: 1_000, problem: None },
    Profile { count: (200, 4), jobs: 20, executions: 40, fails: 3, problem: None },
    Profile { count: (50, 0), jobs: 20, executions: 40, fails: 1_000, problem: Some(LATE) },
    Profile { count: (40, 0), jobs: 20, executions: 60, fails: 1_000, problem: Some(QUARANTINED) },
    // Their files are deleted afterwards.
    Profile { count: (UNREACHABLE, 0), jobs: 20, executions: 40, fails: 1_000, problem: None },
];
const UNREACHABLE: usize = 20;
/// How far histories go back: short ones a day, long ones a month.
const SHORT: TimeDelta = TimeDelta::days(1);
const LONG: TimeDelta = TimeDelta::days(30);
/// From how many executions a history is long.
const IS_LONG: i32 = 10_000;

/// The tenants by slug.
pub(crate) struct Population {
    pub(crate) tenants: usize,
    pub(crate) executions: i64,
    /// An SQLite and a PostgreSQL database with 100,000 executions each.
    pub(crate) long: [String; 2],
    /// SQLite files without problems, with 40 executions each.
    pub(crate) short: Vec<String>,
    databases: Vec<DatabaseUrl>,
}

impl Population {
    /// Creates the population.
    ///
    /// # Errors
    /// If a server or the disk fails.
    pub(crate) async fn make(system: &System) -> anyhow::Result<Population> {
        let folder = system.folder.path("");
        let (mut ids, mut urls, mut databases) = (Vec::new(), Vec::new(), Vec::new());
        let mut slugs: Vec<Vec<String>> = Vec::new();
        for (n, profile) in PROFILES.iter().enumerate() {
            let (files, servers) = profile.count;
            let fresh: Vec<TenantId> = (0..files + servers).map(|_| fresh_id()).collect();
            let made = profile.make_files(&fresh[..files], &folder, n).await?;
            let served = profile.make_databases(&fresh[files..]).await?;
            databases.extend(served.iter().cloned());
            let before = ids.len();
            ids.extend(fresh);
            slugs.push((before..ids.len()).map(|n| format!("t{}", n + 1)).collect());
            urls.extend(made.into_iter().chain(served));
        }
        list_tenants(&ids, &urls, system).await?;
        for url in &urls[urls.len() - UNREACHABLE..] {
            let path = url.expose().trim_start_matches("sqlite://");
            fs::remove_file(path).with_context(|| format!("cannot take {path} away"))?;
        }
        let all = PROFILES.iter();
        let executions =
            all.map(|one| (one.count.0 + one.count.1) as i64 * i64::from(one.executions));
        let (files, _) = PROFILES[0].count;
        Ok(Population {
            tenants: ids.len(),
            executions: executions.sum(),
            long: [slugs[0][0].clone(), slugs[0][files].clone()],
            short: slugs[1][..PROFILES[1].count.0].to_vec(),
            databases,
        })
    }

    /// Deletes the databases on the server.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        for url in &self.databases {
            drop_database(url.expose()).await?;
        }
        Ok(())
    }
}

impl Profile {
    async fn make_files(
        &self,
        ids: &[TenantId],
        folder: &Path,
        n: usize,
    ) -> anyhow::Result<Vec<DatabaseUrl>> {
        let file = folder.join(format!("profile-{n}.db"));
        let url = DatabaseUrl::of_sqlite_file(&file);
        migrate(&url, Schema::Tenant).await?;
        self.fill(&url).await?;
        if let Some(problem) = self.problem {
            execute(&url, problem).await;
        }
        copy_file(&file, ids, folder).await
    }

    async fn make_databases(&self, ids: &[TenantId]) -> anyhow::Result<Vec<DatabaseUrl>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let template = postgres_database().await;
        migrate(&template, Schema::Tenant).await?;
        self.fill(&template).await?;
        let urls = copy_database(&template, ids).await?;
        drop_database(template.expose()).await?;
        Ok(urls)
    }

    /// Adds its jobs and its history.
    async fn fill(&self, url: &DatabaseUrl) -> anyhow::Result<()> {
        let now = Clock::System.wall_time();
        let (next, since) = (now + TimeDelta::days(1), now - TimeDelta::days(60));
        let span = if self.executions >= IS_LONG { LONG } else { SHORT };
        let (span, end) = (span.num_seconds() as f64, now.timestamp() as f64);
        let jobs = include_str!("../../../sql/make_jobs.sql");
        macro_rules! fill {
            ($connection:expr, $history:literal) => {{
                let mut connection = $connection;
                let jobs = sqlx::query(jobs).bind(self.jobs).bind(next).bind(since);
                jobs.execute(&mut connection).await?;
                let history =
                    sqlx::query(include_str!($history)).bind(self.jobs).bind(self.executions);
                let history = history.bind(span).bind(end).bind(self.fails);
                history.execute(&mut connection).await?;
                connection.close().await?;
            }};
        }
        match url.is_sqlite() {
            true => fill!(
                SqliteConnection::connect(url.expose()).await?,
                "../../../sql/make_history.sqlite.sql"
            ),
            false => fill!(
                PgConnection::connect(url.expose()).await?,
                "../../../sql/make_history.postgres.sql"
            ),
        }
        Ok(())
    }
}

fn fresh_id() -> TenantId {
    TenantId::new(Clock::System.wall_time(), &Random::system())
}
