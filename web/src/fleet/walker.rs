//! Visits all tenants in turn, endlessly, and keeps a snapshot of each in the cache.
//!
//! The cost is bounded: a visit to a database on a server takes a fixed time, a visit to a file is
//! followed by a pause nine times as long, and a file that has not changed since it was read is not
//! read again while nothing in it can have become due.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use operations::context::Context;
use operations::failure::reason;
use operations::tenant::TenantView;
use shared::store::{ChangeToken, DbTime, Result, Store, chain};
use shared::tenant::Tenant;
use tokio::time::timeout;
use tracing::warn;

use super::FleetCache;
use super::snapshot::TenantSnapshot;
use super::stats::{HOURS, RECENT_MAX, TenantStats, Visited, behind};

/// How many tenants are visited at once, so that one that doesn't answer delays few others.
const AT_ONCE: usize = 4;
/// The least time for a visit to a database on a server: with [`AT_ONCE`], ten visits a second at
/// most.
const VISIT_MIN: Duration = Duration::from_millis(400);
/// The least time for a visit to a file, which needs no session of a server.
const FILE_VISIT_MIN: Duration = Duration::from_millis(5);
/// The longest visit, so that tenants whose databases answer slowly or not at all delay few others.
const VISIT_MAX: Duration = Duration::from_secs(5);
/// The pause after a visit to a file, in multiples of the visit.
const PAUSE_FACTOR: u32 = 9;
/// The least time for a walk.
const WALK_MIN: Duration = Duration::from_secs(3);
/// How many tenants are listed, and visited between two clean-ups of idle connections.
const PAGE: i64 = 500;
/// The most due jobs that are counted.
const DUE_MAX: i64 = 1000;
/// How many quarantined jobs are named of each tenant.
const QUARANTINED_MAX: i64 = 5;

/// Repeats the walk until it is dropped.
pub(super) async fn walk(cache: &FleetCache, context: &Context) {
    let clock = &cache.clock;
    loop {
        let begun = clock.boot_time();
        if let Err(error) = walk_once(cache, context).await {
            warn!("the tenants cannot be listed: {}", chain(&error));
        }
        cache.end_walk();
        let took = clock.boot_time() - begun;
        clock.sleep(WALK_MIN.saturating_sub(took)).await;
    }
}

async fn walk_once(cache: &FleetCache, context: &Context) -> Result<()> {
    let tenants = list(context).await?;
    // Tenants can be found before their first visit.
    cache.enter(tenants.iter().map(TenantView::from));
    let slugs: BTreeSet<String> = tenants.iter().map(|tenant| tenant.slug.clone()).collect();
    for page in tenants.chunks(PAGE as usize) {
        let visits = stream::iter(page).map(|tenant| visit(tenant, cache, context));
        visits.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
        context.connections.close_idle();
    }
    cache.keep(&slugs);
    Ok(())
}

async fn list(context: &Context) -> Result<Vec<Tenant>> {
    let mut tenants: Vec<Tenant> = Vec::new();
    loop {
        let after = tenants.last().map(|tenant| tenant.slug.clone()).unwrap_or_default();
        let page = context.control.page_tenants(&after, PAGE).await?;
        if page.is_empty() {
            return Ok(tenants);
        }
        tenants.extend(page);
    }
}

async fn visit(tenant: &Tenant, cache: &FleetCache, context: &Context) {
    let begun = cache.clock.boot_time();
    let before = cache.get(&tenant.slug);
    let read = match context.store(tenant) {
        Ok(store) => match timeout(VISIT_MAX, read(&store, before)).await {
            Ok(reading) => reading,
            Err(_) => {
                let problem =
                    format!("the database did not answer within {} s", VISIT_MAX.as_secs());
                Reading::failed(cache.get(&tenant.slug), problem)
            }
        },
        Err(failure) => Reading::failed(before, failure.to_string()),
    };
    let at = cache.clock.boot_time();
    let Reading { change_token, problem, stats } = read;
    let tenant_view = TenantView::from(tenant);
    let is_file = tenant.database_url.is_sqlite();
    cache.put(TenantSnapshot { tenant: tenant_view, at: Some(at), change_token, problem, stats });
    // With few tenants there is no need to go slowly: the walk has a least time of its own.
    cache.clock.sleep(pause(at - begun, is_file)).await;
}

/// How long to pause after a visit that took so long.
fn pause(took: Duration, is_file: bool) -> Duration {
    match is_file {
        true => (took * PAUSE_FACTOR).clamp(FILE_VISIT_MIN, VISIT_MIN),
        false => VISIT_MIN.saturating_sub(took),
    }
}

/// What a visit found.
struct Reading {
    change_token: Option<ChangeToken>,
    problem: Option<String>,
    stats: TenantStats,
}

impl Reading {
    /// The stats of the last visit are the best there are.
    fn failed(before: Option<TenantSnapshot>, problem: String) -> Reading {
        let stats = before.map(|before| before.stats).unwrap_or_default();
        Reading { change_token: None, problem: Some(problem), stats }
    }
}

async fn read(store: &Store, before: Option<TenantSnapshot>) -> Reading {
    // The token first: what changes while the database is read is read at the next visit.
    let change_token = store.change_token().await;
    let now = match store.now().await {
        Ok(now) => now,
        Err(error) => return Reading::failed(before, reason(&error)),
    };
    let is_unchanged = |before: &TenantSnapshot| {
        change_token.is_some()
            && change_token == before.change_token
            && before.problem.is_none()
            && before.stats.hold_at(now.time())
    };
    if let Some(before) = before.as_ref().filter(|before| is_unchanged(before)) {
        return Reading { change_token, problem: None, stats: before.stats.clone() };
    }
    let last = before.as_ref().map(|before| before.stats.clone()).unwrap_or_default();
    match ask(store, &last, now).await {
        Ok(stats) => Reading { change_token, problem: None, stats },
        Err(error) => Reading::failed(before, reason(&error)),
    }
}

async fn ask(store: &Store, before: &TenantStats, now: DbTime) -> Result<TenantStats> {
    let poll = store.poll().await?;
    let recent = store.list_recent(now - TimeDelta::hours(HOURS), RECENT_MAX).await?;
    let due = match behind(&poll, now.time()) {
        Some(_) => store.count_due(now, DUE_MAX).await?,
        None => 0,
    };
    let jobs = store.summarize_jobs().await?;
    let quarantined = store.list_quarantined(QUARANTINED_MAX).await?;
    Ok(TenantStats::new(Visited { poll, recent, jobs, quarantined }, due, before, now.time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_followed_by_a_pause() {
        let ms = Duration::from_millis;
        assert_eq!(
            [ms(0), ms(10), ms(1000)].map(|took| pause(took, true)),
            [ms(5), ms(90), ms(400)]
        );
        assert_eq!(
            [ms(0), ms(10), ms(1000)].map(|took| pause(took, false)),
            [ms(400), ms(390), ms(0)]
        );
    }
}
