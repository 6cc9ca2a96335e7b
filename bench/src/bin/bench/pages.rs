//! How long the server takes for the dashboard's pages and the API's lists, with 10,000 tenants and
//! 1,000,000 executions, and what `polychron serve` costs meanwhile.
//!
//! Each page is requested 20 times: for a tenant with 100,000 executions, in SQLite and in PostgreSQL,
//! and for 20 tenants that were not requested before and whose databases must be opened first.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use polychron_bench::{Sample, Servers, Sheet, Usage, drop_database, drop_virtual_host, median};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::execution::Status;
use tests::{Process, System, free_address, get};

use crate::Options;
use crate::population::Population;

/// How often each page is requested.
const TIMES: usize = 20;
/// How long the idle server is measured.
const REST: Duration = Duration::from_secs(60);
/// How often its progress is read.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long the first walk through all tenants may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// Pages about all tenants.
const OF_ALL: &[(&str, &str)] = &[
    ("Now", "/"),
    ("Tenants", "/tenants"),
    ("Tenants, the last page", "/tenants?after=t998"),
    ("Tenants, searched", "/tenants?search=T997"),
    ("Tenants, nothing found", "/tenants?search=nobody"),
    ("Consumers", "/consumers"),
    ("Audit", "/audit"),
    ("API now", "/api/v1/now"),
    ("API tenants, 500", "/api/v1/tenants?limit=500"),
    ("API tenants, the last", "/api/v1/tenants?limit=500&after=t998"),
    ("API consumers", "/api/v1/consumers"),
    ("API producers", "/api/v1/producers"),
    ("API queues", "/api/v1/queues"),
    ("API audit", "/api/v1/audit?limit=500"),
];

/// Pages about one tenant, below its address; `{id}` is one of its executions.
const OF_ONE: &[(&str, &str)] = &[
    ("Tenant", ""),
    ("Jobs", "/jobs"),
    ("Jobs, a later page", "/jobs?after=job-15"),
    ("Job", "/job?name=job-8"),
    ("Job, why it did not run", "/job/why?name=job-8"),
    ("Job, its schedule", "/job/schedule?name=job-8&schedule=0+2+*+*+*&timezone=Europe%2FLondon"),
    ("Executions", "/executions"),
    ("Executions, a later page", "/executions?before={id}"),
    ("Executions of a job", "/executions?job=job-8"),
    ("Executions of a job, failed", "/executions?job=job-8&status=failed"),
    ("Execution", "/executions/{id}"),
];
const API_OF_ONE: &[(&str, &str)] = &[
    ("API tenant", ""),
    ("API jobs, 500", "/jobs?limit=500"),
    ("API job", "/jobs/job-8"),
    ("API job, explained", "/jobs/job-8/explain"),
    ("API job, next", "/jobs/job-8/next"),
    ("API executions, 500", "/executions?limit=500"),
    ("API executions, failed", "/executions?limit=500&status=failed"),
    ("API execution", "/executions/{id}"),
];

/// The measured server.
struct Served {
    process: Process,
    address: SocketAddr,
    servers: Servers,
}

/// Measures once, whatever the number of rounds.
///
/// # Errors
/// If the servers are missing, or a page has an unexpected answer.
pub(crate) async fn measure(_: &Options) -> anyhow::Result<Vec<Sheet>> {
    let system = System::new(0).await;
    let population = Population::make(&system).await?;
    let settings = json!({"tenants": population.tenants, "executions": population.executions});
    let mut costs = Sheet::new("pages-costs", &[], settings.clone());
    let mut pages = Sheet::new("pages", &[], settings);
    let served = Served::start(&system).await?;
    costs.add("serve", "first walk", served.watched(served.first_walk(&population)).await?);
    costs.add("serve", "idle", served.watched(idle()).await?);
    let requests = served.ask_for_all_pages(&population, &mut pages);
    costs.add("serve", "under requests", served.watched(requests).await?);
    drop(served);
    population.drop().await?;
    drop_database(system.control_url()).await?;
    drop_virtual_host(&system.amqp_url).await;
    Ok(vec![pages, costs])
}

async fn idle() -> anyhow::Result<()> {
    Clock::System.sleep(REST).await;
    Ok(())
}

impl Served {
    async fn start(system: &System) -> anyhow::Result<Served> {
        let address = free_address();
        let process =
            system.program("polychron", &["serve", "--listen", &address.to_string()], &[]);
        let served = Served { process, address, servers: Servers::find()? };
        let (clock, began) = (Clock::System, Clock::System.boot_time());
        while get(address, "/api/v1/openapi.json").await.is_none() {
            ensure!(clock.boot_time() - began < LIMIT, "the server does not start");
            clock.sleep(ASK_EVERY).await;
        }
        Ok(served)
    }

    /// What the server and PostgreSQL use while something runs.
    async fn watched(
        &self,
        goes_on: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Sample> {
        let usage = || (Usage::of_tree(self.process.pid()), self.servers.postgres());
        let (began, before) = (Clock::System.boot_time(), usage());
        goes_on.await?;
        let seconds = (Clock::System.boot_time() - began).as_secs_f64();
        let after = usage();
        let share =
            |before: Usage, after: Usage| (after - before).cpu.as_secs_f64() / seconds * 100.0;
        let now = self.answer("/api/v1/now").await?.1;
        let now: Value = serde_json::from_str(&now)?;
        Ok(vec![
            ("seconds", seconds),
            ("own CPU %", share(before.0, after.0)),
            ("PostgreSQL CPU %", share(before.1, after.1)),
            ("RSS MB", after.0.rss as f64 / 1e6),
            ("oldest fact s", now["oldest_seconds"].as_f64().unwrap_or(f64::NAN)),
        ])
    }

    /// Waits until every tenant was visited.
    async fn first_walk(&self, population: &Population) -> anyhow::Result<()> {
        let (clock, began) = (Clock::System, Clock::System.boot_time());
        loop {
            // On a busy machine the answer may time out.
            let now = get(self.address, "/api/v1/now").await.map(|answer| answer.json());
            let now = now.unwrap_or_default();
            if now["tenants"] == population.tenants && now["unvisited"] == 0 {
                return Ok(());
            }
            if clock.boot_time() - began > LIMIT {
                bail!("the first walk has not ended: {now}");
            }
            clock.sleep(ASK_EVERY).await;
        }
    }

    async fn ask_for_all_pages(
        &self,
        population: &Population,
        sheet: &mut Sheet,
    ) -> anyhow::Result<()> {
        for (name, path) in OF_ALL {
            sheet.add(name, "all tenants", self.times(vec![(*path).to_owned(); TIMES]).await?);
        }
        let by_status = Status::ALL.iter().map(|status| {
            let (name, path) =
                (format!("Executions, {status}"), format!("/executions?status={status}"));
            (name, "/tenants/", path)
        });
        let owned = |prefix: &'static str| {
            move |(name, path): &(&str, &str)| ((*name).to_owned(), prefix, (*path).to_owned())
        };
        let pages = OF_ONE.iter().map(owned("/tenants/"));
        let api = API_OF_ONE.iter().map(owned("/api/v1/tenants/"));
        let mut strangers = population.short.iter();
        // Copies have the same executions.
        let short = strangers.next().context("there are no short histories")?;
        let [file, database] = &population.long;
        let ids = [
            self.execution(file).await?,
            self.execution(database).await?,
            self.execution(short).await?,
        ];
        for (name, prefix, path) in pages.chain(by_status).chain(api) {
            let of =
                |slug: &String, id: &String| format!("{prefix}{slug}{}", path.replace("{id}", id));
            for (kind, slug, id) in
                [("100,000 in a file", file, &ids[0]), ("100,000 in PostgreSQL", database, &ids[1])]
            {
                sheet.add(&name, kind, self.times(vec![of(slug, id); TIMES]).await?);
            }
            let strangers = strangers.by_ref().take(TIMES).map(|slug| of(slug, &ids[2]));
            sheet.add(&name, "20 tenants, first visit", self.times(strangers.collect()).await?);
        }
        Ok(())
    }

    /// One of a tenant's failed executions, from the middle of its history.
    async fn execution(&self, slug: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/tenants/{slug}/executions?limit=30");
        let page: Value = serde_json::from_str(&self.answer(&path).await?.1)?;
        let last =
            page["items"].as_array().and_then(|items| items.last()).context("no execution")?;
        Ok(last["id"].as_str().context("an execution has an id")?.to_owned())
    }

    /// Requests each of these, one after the other.
    async fn times(&self, paths: Vec<String>) -> anyhow::Result<Sample> {
        let (mut took, mut bytes) = (Vec::new(), 0);
        for path in &paths {
            let (milliseconds, body) = self.answer(path).await?;
            took.push(milliseconds);
            bytes = body.len();
        }
        took.sort_by(f64::total_cmp);
        let nearly_all = (took.len() * 95).div_ceil(100) - 1;
        Ok(vec![
            ("median ms", median(&took)),
            ("p95 ms", took[nearly_all]),
            ("worst ms", took[took.len() - 1]),
            ("KB", bytes as f64 / 1e3),
        ])
    }

    /// How long the answer took, in milliseconds, and the answer.
    async fn answer(&self, path: &str) -> anyhow::Result<(f64, String)> {
        let began = Clock::System.boot_time();
        let answer = get(self.address, path).await;
        let took = Clock::System.boot_time() - began;
        let answer = answer.with_context(|| format!("{path} was not answered in time"))?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok((took.as_secs_f64() * 1e3, answer.body))
    }
}
