//! How often a tenant is looked at where nothing is due.
//!
//! A look at a PostgreSQL tenant takes a fresh connection, which costs its server a hundred times
//! the look itself; so a server gives no more than a few of them a second to all its tenants
//! together, and where those are many, each has its turn less often. What is due is done in time
//! all the same, and a change that comes with a wake is seen at once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use shared::tenants::OpenTenant;
use tracing::warn;

/// The most looks a second at tenants of one PostgreSQL server where nothing is due.
const LOOKS_PER_SECOND: f64 = 6.0;

/// The poll interval, as it is at each server.
pub struct Pace {
    poll_interval: Duration,
    /// Of servers that have too many tenants for that.
    stretched: RwLock<HashMap<String, Duration>>,
}

impl Pace {
    /// As set, until tenants are counted.
    pub fn new(poll_interval: Duration) -> Pace {
        Pace { poll_interval, stretched: RwLock::default() }
    }

    /// Counts all tenants by their servers, whoever watches them.
    pub fn count<'a>(&self, tenants: impl Iterator<Item = &'a OpenTenant>) {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for server in tenants.filter_map(|tenant| tenant.store.server()) {
            *counts.entry(server).or_default() += 1;
        }
        let mut stretched = self.stretched.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *stretched);
        for (server, tenants) in counts {
            let interval = Duration::from_secs_f64(f64::from(tenants) / LOOKS_PER_SECOND);
            if interval <= self.poll_interval {
                continue;
            }
            if !before.contains_key(server) {
                let (set, now) = (self.poll_interval.as_secs(), interval.as_secs());
                warn!(
                    server,
                    tenants,
                    "too many tenants on one server to look at each every {set} s: it takes {now} s \
                     until a change made directly in a tenant's tables is seen; what is due is in \
                     time, and a change made by command, API or dashboard is seen at once"
                );
            }
            stretched.insert(server.to_owned(), interval);
        }
    }

    /// The longest time between two looks at this tenant.
    pub fn interval(&self, tenant: &OpenTenant) -> Duration {
        let stretched = self.stretched.read().unwrap_or_else(PoisonError::into_inner);
        let of_server = tenant.store.server().and_then(|server| stretched.get(server));
        of_server.copied().unwrap_or(self.poll_interval)
    }

    /// The longest time between two looks at any tenant.
    pub fn longest(&self) -> Duration {
        let stretched = self.stretched.read().unwrap_or_else(PoisonError::into_inner);
        stretched.values().copied().max().unwrap_or(self.poll_interval)
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
            max_running: None,
            created_at: time,
            updated_at: time,
        };
        OpenTenant { tenant, store, health: Arc::new(Health::new(Clock::System)) }
    }

    #[test]
    fn only_a_server_with_too_many_tenants_is_looked_at_less_often() {
        let connections = Connections::new(Clock::System, 1);
        let many = |count: u128, place: &str| -> Vec<OpenTenant> {
            (0..count).map(|n| tenant(&connections, n, &format!("{place}{n}"))).collect()
        };
        let (crowd, few) = (many(1200, "postgres://a:1/t"), many(180, "postgres://b:1/t"));
        let files = many(2000, "sqlite:///x/t");
        let pace = Pace::new(Duration::from_secs(30));
        assert_eq!(pace.interval(&crowd[0]), Duration::from_secs(30));
        pace.count(crowd.iter().chain(&few).chain(&files));
        assert_eq!(pace.interval(&crowd[0]), Duration::from_secs(200));
        assert_eq!(pace.interval(&few[0]), Duration::from_secs(30));
        assert_eq!(pace.interval(&files[0]), Duration::from_secs(30));
        assert_eq!(pace.longest(), Duration::from_secs(200));
        pace.count(few.iter());
        assert_eq!(pace.longest(), Duration::from_secs(30));
    }
}
