//! How often a tenant is polled at which nothing is due.
//!
//! Polling a PostgreSQL tenant takes a fresh connection, which costs its server a hundred times as much as
//! the poll itself. So all tenants of one server together get a few such polls a second. A server with more
//! tenants than that allows at the poll interval is *overloaded*: its statistics say at each poll interval
//! whose database has changed, and each tenant itself is polled rarely. Without statistics, a change made
//! directly in a tenant's tables is seen later. Due executions are still dispatched in time, and a change
//! that is announced by a wake is seen at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::metrics::Metrics;
use shared::tenants::OpenTenant;
use tracing::warn;

/// The most polls a second of tenants of one PostgreSQL server at which nothing is due.
const POLLS_PER_SECOND: f64 = 6.0;
/// For how many of an overloaded server's poll intervals its statistics are trusted at most.
const TRUSTED_INTERVALS: u32 = 4;

/// The poll intervals of all tenants.
pub struct PollIntervals {
    configured: Duration,
    /// The overloaded servers, by address.
    overloaded: Mutex<HashMap<String, OverloadedServer>>,
    metrics: Metrics,
}

/// A server with more tenants than can be polled within the poll interval.
#[derive(Default)]
struct OverloadedServer {
    tenants: u32,
    /// Whether the server had no statistics when they were read last.
    lacks_statistics: bool,
}

/// The intervals of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// The longest time between two polls.
    pub poll: Duration,
    /// The longest time between two change probes. None: its server cannot be probed, or need not be.
    pub probe: Option<Duration>,
    /// For how long change probes may replace polls. None: without limit; the server is not overloaded.
    pub trust: Option<Duration>,
}

impl PollIntervals {
    /// Gives every tenant the configured interval until [`PollIntervals::count`] has been called.
    pub fn new(configured: Duration, metrics: Metrics) -> PollIntervals {
        PollIntervals { configured, overloaded: Mutex::default(), metrics }
    }

    /// Counts the tenants of each server, whichever producer watches them.
    pub fn count<'a>(&self, tenants: impl Iterator<Item = &'a OpenTenant>) {
        let mut servers = self.overloaded();
        servers.values_mut().for_each(|server| server.tenants = 0);
        for address in tenants.filter_map(|tenant| tenant.store.server()) {
            servers.entry(address.to_owned()).or_default().tenants += 1;
        }
        servers.retain(|_, server| interval(server) > self.configured);
        self.report_longest(&servers);
    }

    /// The intervals of a tenant.
    pub fn of(&self, tenant: &OpenTenant) -> Intervals {
        let usual = Intervals { poll: self.configured, probe: None, trust: None };
        let Some(address) = tenant.store.server() else {
            return Intervals { probe: Some(usual.poll), ..usual }; // a file
        };
        self.overloaded().get(address).map_or(usual, |server| Intervals {
            poll: interval(server),
            // Statistics lag a little; twice as many probes keep the poll interval all the same.
            probe: Some(usual.poll / 2),
            trust: Some(interval(server) * TRUSTED_INTERVALS),
        })
    }

    /// Records whether the statistics of a tenant's server have answered a change probe.
    pub fn record_probe(&self, tenant: &OpenTenant, has_statistics: bool) {
        let Some(address) = tenant.store.server() else { return };
        let mut servers = self.overloaded();
        let Some(server) = servers.get_mut(address) else { return };
        if server.lacks_statistics != has_statistics {
            return;
        }
        server.lacks_statistics = !has_statistics;
        if !has_statistics {
            let (configured, now) = (self.configured.as_secs(), interval(server).as_secs());
            warn!(
                server = address,
                tenants = server.tenants,
                "too many tenants on one server to poll each every {configured} s, and its statistics \
                 do not say whose database has changed: a change made directly in a tenant's tables is \
                 seen within {now} s; executions that are due are dispatched in time, and a change made \
                 by command, API or dashboard is seen at once"
            );
        }
        self.report_longest(&servers);
    }

    /// Reports for how long a change made directly in a tenant's tables may go unseen.
    fn report_longest(&self, servers: &HashMap<String, OverloadedServer>) {
        let without = servers.values().filter(|server| server.lacks_statistics);
        let longest = without.map(interval).max().unwrap_or(self.configured);
        self.metrics.poll_interval.set(longest.as_secs_f64());
    }

    fn overloaded(&self) -> MutexGuard<'_, HashMap<String, OverloadedServer>> {
        self.overloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it takes to poll each tenant of a server once.
fn interval(server: &OverloadedServer) -> Duration {
    Duration::from_secs_f64(f64::from(server.tenants) / POLLS_PER_SECOND)
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

    fn many(connections: &Connections, count: u128, prefix: &str) -> Vec<OpenTenant> {
        (0..count).map(|n| tenant(connections, n, &format!("{prefix}{n}"))).collect()
    }

    const POLL: Duration = Duration::from_secs(30);

    #[test]
    fn only_tenants_of_an_overloaded_server_are_polled_less_often() {
        let connections = Connections::new(Clock::System, 1);
        let overloaded = many(&connections, 1200, "postgres://a:1/t");
        let few = many(&connections, 180, "postgres://b:1/t");
        let files = many(&connections, 2000, "sqlite:///x/t");
        let intervals = PollIntervals::new(POLL, Metrics::new(Clock::System));
        assert_eq!(intervals.of(&overloaded[0]).poll, POLL, "the tenants have not been counted");
        intervals.count(overloaded.iter().chain(&few).chain(&files));
        let seconds = Duration::from_secs;
        let rare =
            Intervals { poll: seconds(200), probe: Some(POLL / 2), trust: Some(seconds(800)) };
        assert_eq!(intervals.of(&overloaded[0]), rare);
        let usual = Intervals { poll: POLL, probe: None, trust: None };
        assert_eq!(intervals.of(&few[0]), usual);
        let file = Intervals { probe: Some(POLL), ..usual };
        assert_eq!(intervals.of(&files[0]), file);
        intervals.count(few.iter());
        assert_eq!(intervals.of(&overloaded[0]), usual);
    }

    #[test]
    fn the_longest_interval_is_that_of_an_overloaded_server_without_statistics() {
        let connections = Connections::new(Clock::System, 1);
        let overloaded = many(&connections, 1200, "postgres://a:1/t");
        let intervals = PollIntervals::new(POLL, Metrics::new(Clock::System));
        let longest = || intervals.metrics.poll_interval.get();
        intervals.record_probe(&overloaded[0], false);
        assert_eq!(longest(), 0.0, "it is not known to be overloaded");
        intervals.count(overloaded.iter());
        assert_eq!(longest(), 30.0, "it has not been probed");
        for tenant in &overloaded[..2] {
            intervals.record_probe(tenant, false);
            assert_eq!(longest(), 200.0);
        }
        intervals.count(overloaded.iter());
        assert_eq!(longest(), 200.0, "as before");
        for tenant in &overloaded[1..3] {
            intervals.record_probe(tenant, true);
            assert_eq!(longest(), 30.0);
        }
    }
}
