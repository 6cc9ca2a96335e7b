//! How often a tenant is looked at where nothing is due.
//!
//! A look at a PostgreSQL tenant takes a fresh connection, which costs its server a hundred times
//! the look itself; so a server gives no more than a few of them a second to all its tenants
//! together. Where those are many, the server's statistics say at each poll whose database has
//! changed, and each is looked at for itself rarely; if they don't, each has its turn less often,
//! and a change made directly in its tables is seen later. What is due is done in time all the
//! same, and a change that comes with a wake is seen at once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::tenants::OpenTenant;
use tracing::warn;

use crate::look::Rest;

/// The most looks a second at tenants of one PostgreSQL server where nothing is due.
const LOOKS_PER_SECOND: f64 = 6.0;
/// How many times longer a tenant is left alone while its server says that nothing has changed.
const BELIEVED: u32 = 4;

/// The poll interval, as it is at each server.
pub struct Pace {
    clock: Clock,
    poll_interval: Duration,
    /// The servers that have too many tenants for that.
    crowded: RwLock<HashMap<String, Crowd>>,
}

/// The tenants of one server, too many to look at each at every poll.
#[derive(Clone, Copy)]
struct Crowd {
    tenants: u32,
    /// How long it takes to look at each once.
    interval: Duration,
    /// Whether the server said nothing of changes when it was asked last.
    is_blind: bool,
}

impl Pace {
    /// As set, until tenants are counted.
    pub fn new(poll_interval: Duration, clock: Clock) -> Pace {
        Pace { clock, poll_interval, crowded: RwLock::default() }
    }

    /// The time that it goes by.
    pub fn boot_time(&self) -> BootTime {
        self.clock.boot_time()
    }

    /// Counts all tenants by their servers, whoever watches them.
    pub fn count<'a>(&self, tenants: impl Iterator<Item = &'a OpenTenant>) {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for server in tenants.filter_map(|tenant| tenant.store.server()) {
            *counts.entry(server).or_default() += 1;
        }
        let mut crowded = self.write();
        let before = std::mem::take(&mut *crowded);
        for (server, tenants) in counts {
            let interval = Duration::from_secs_f64(f64::from(tenants) / LOOKS_PER_SECOND);
            if interval > self.poll_interval {
                let is_blind = before.get(server).is_some_and(|before| before.is_blind);
                crowded.insert(server.to_owned(), Crowd { tenants, interval, is_blind });
            }
        }
    }

    /// The longest time until the next look at this tenant; or, where it can be told from outside
    /// whether it has changed, until the next glance.
    pub fn interval(&self, tenant: &OpenTenant, glances: bool) -> Duration {
        match self.crowd(tenant) {
            // Statistics are a little late, and the poll interval is kept all the same.
            Some(_) if glances => self.poll_interval / 2,
            Some(crowd) => crowd.interval,
            None => self.poll_interval,
        }
    }

    /// The longest that a change made directly in a tenant's tables goes unseen.
    pub fn longest(&self) -> Duration {
        let crowded = self.read();
        let blind = crowded.values().filter(|crowd| crowd.is_blind);
        blind.map(|crowd| crowd.interval).max().unwrap_or(self.poll_interval)
    }

    /// Whether a tenant's server has so many that their connections don't last.
    pub fn is_crowded(&self, tenant: &OpenTenant) -> bool {
        self.crowd(tenant).is_some()
    }

    /// Whether a glance from outside spares looks at this tenant: always at a file; at a server,
    /// where it has many tenants.
    pub fn spares(&self, tenant: &OpenTenant) -> bool {
        tenant.store.server().is_none() || self.is_crowded(tenant)
    }

    /// Until when to believe a glance that says that a tenant is as it was when it was looked at
    /// just now; spread by `unit`, from 0 to 1. Files are believed for ever.
    pub fn believed_until(&self, tenant: &OpenTenant, unit: f64) -> Option<BootTime> {
        let crowd = self.crowd(tenant)?;
        let longest = crowd.interval * BELIEVED;
        Some(self.clock.boot_time() + longest.mul_f64(0.5 + 0.5 * unit))
    }

    /// Whether a glance at a tenant is still enough.
    pub fn believes(&self, rest: &Rest) -> bool {
        rest.believed_until.is_none_or(|until| self.clock.boot_time() < until)
    }

    /// Notes whether a tenant's server has said anything of its changes. True: that is different
    /// from before.
    pub fn told(&self, tenant: &OpenTenant, something: bool) -> bool {
        let Some((server, crowd)) = tenant.store.server().zip(self.crowd(tenant)) else {
            return false;
        };
        if crowd.is_blind != something {
            return false;
        }
        let Crowd { tenants, interval, .. } = crowd;
        if !something {
            let (set, now) = (self.poll_interval.as_secs(), interval.as_secs());
            warn!(
                server,
                tenants,
                "too many tenants on one server to look at each every {set} s, and it does not tell \
                 whose database has changed: it takes {now} s until a change made directly in a \
                 tenant's tables is seen; what is due is in time, and a change made by command, API \
                 or dashboard is seen at once"
            );
        }
        if let Some(crowd) = self.write().get_mut(server) {
            crowd.is_blind = !something;
        }
        true
    }

    fn crowd(&self, tenant: &OpenTenant) -> Option<Crowd> {
        self.read().get(tenant.store.server()?).copied()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Crowd>> {
        self.crowded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Crowd>> {
        self.crowded.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::clock::Clock;
    use shared::health::Health;
    use shared::id::TenantId;
    use shared::store::{Connections, Store};
    use shared::tenant::{Tenant, TenantStatus};
    use uuid::Uuid;

    use super::*;

    fn tenant(connections: &Connections, n: u128, url: &str) -> OpenTenant {
        let (id, url) = (TenantId(Uuid::from_u128(n)), url.parse().unwrap());
        let store = Arc::new(Store::new(id, &url, connections).unwrap());
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        let tenant = Tenant {
            id,
            slug: format!("t{n}"),
            name: String::new(),
            status: TenantStatus::Active,
            database_url: url,
            schema: None,
            max_running: None,
            created_at: time,
            updated_at: time,
        };
        OpenTenant { tenant, store, health: Arc::new(Health::new(Clock::System)) }
    }

    fn many(connections: &Connections, count: u128, place: &str) -> Vec<OpenTenant> {
        (0..count).map(|n| tenant(connections, n, &format!("{place}{n}"))).collect()
    }

    const POLL: Duration = Duration::from_secs(30);

    #[test]
    fn only_a_server_with_too_many_tenants_is_looked_at_less_often() {
        let connections = Connections::new(Clock::System, 1);
        let crowd = many(&connections, 1200, "postgres://a:1/t");
        let few = many(&connections, 180, "postgres://b:1/t");
        let files = many(&connections, 2000, "sqlite:///x/t");
        let pace = Pace::new(POLL, Clock::System);
        assert_eq!(pace.interval(&crowd[0], false), POLL);
        pace.count(crowd.iter().chain(&few).chain(&files));
        assert_eq!(pace.interval(&crowd[0], false), Duration::from_secs(200));
        assert_eq!(pace.interval(&crowd[0], true), POLL / 2);
        assert_eq!(pace.interval(&few[0], false), POLL);
        assert_eq!(pace.interval(&files[0], true), POLL);
        assert!(pace.spares(&crowd[0]) && pace.spares(&files[0]) && !pace.spares(&few[0]));
        assert_eq!(pace.believed_until(&files[0], 0.5), None);
        let left = pace.believed_until(&crowd[0], 0.0).unwrap() - Clock::System.boot_time();
        assert!((399..=400).contains(&left.as_secs()), "{left:?}");
        pace.count(few.iter());
        assert!(!pace.spares(&crowd[0]));
    }

    #[test]
    fn only_a_server_that_tells_nothing_of_changes_is_polled_less_often() {
        let connections = Connections::new(Clock::System, 1);
        let crowd = many(&connections, 1200, "postgres://a:1/t");
        let pace = Pace::new(POLL, Clock::System);
        assert!(!pace.told(&crowd[0], false), "it is not known to be crowded");
        pace.count(crowd.iter());
        assert_eq!(pace.longest(), POLL, "it has not been asked");
        assert!(pace.told(&crowd[0], false) && !pace.told(&crowd[1], false));
        assert_eq!(pace.longest(), Duration::from_secs(200));
        pace.count(crowd.iter());
        assert_eq!(pace.longest(), Duration::from_secs(200), "as before");
        assert!(pace.told(&crowd[1], true) && !pace.told(&crowd[0], true));
        assert_eq!(pace.longest(), POLL);
    }
}
