//! One look at one tenant: collect what is lost, work out what is new, dispatch what is due, send
//! again what nobody has heard of; and when to look again.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Time, delta};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{Look, Result};
use shared::tenants::OpenTenant;

use crate::backlog::Backlog;
use crate::dispatcher::{Dispatcher, Left};
use crate::messenger::Messenger;
use crate::{rescuer, sweeper};

/// While something is on its way to a worker, its row is looked at this often.
const OPEN_EVERY: Duration = Duration::from_secs(10);
/// What should have been done by now, and was not, is tried again after this long.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// A connection is opened this long before it is needed.
const WARM_UP: Duration = Duration::from_millis(100);
/// A connection that was used more recently than this is still warm.
const WARM_FOR: Duration = Duration::from_secs(4);

/// What looks at tenants work with.
pub struct Looker {
    /// How much the queues take.
    pub backlog: Backlog,
    /// Sends the messages.
    pub messenger: Messenger,
    /// For ids, and to spread polls.
    pub random: Random,
    /// The longest time between two looks at a tenant.
    pub poll_interval: Duration,
    /// Where it counts what it does.
    pub metrics: Metrics,
}

impl Looker {
    /// Looks at a tenant; answers with how long to wait before the next look. `resumed`: it was
    /// suspended until now.
    pub async fn tick(&self, tenant: &Arc<OpenTenant>, resumed: bool) -> Result<Duration> {
        let now = tenant.store.now().await?;
        let look = tenant.store.look().await?;
        let mut left = Left::Nothing;
        if look.next_lease_until.is_some_and(|until| until < now - delta(rescuer::GRACE))
            && rescuer::tick(tenant, now, &self.random, &self.metrics).await? > 0
        {
            left = Left::More;
        }
        if tenant.is_active() {
            left = left.max(self.move_on(tenant, &look, now, resumed).await?);
        }
        Ok(match left {
            Left::More => self.backlog.refill_after(),
            Left::Blocked => self.backlog.retry_after(),
            Left::Nothing => self.next(tenant, &look, now),
        })
    }

    /// What is done for active tenants only.
    async fn move_on(
        &self,
        tenant: &Arc<OpenTenant>,
        look: &Look,
        now: Time,
        resumed: bool,
    ) -> Result<Left> {
        let Looker { backlog, messenger, random, metrics, .. } = self;
        let dispatcher = Dispatcher { tenant, backlog, messenger, random, now, metrics };
        let mut left = Left::Nothing;
        if look.unarmed {
            dispatcher.arm().await?;
            left = Left::More; // what was worked out may be due already
        }
        left = left.max(dispatcher.tick(look).await?);
        let unheard = sweeper::next_at(look).is_some_and(|at| at <= now);
        if unheard || (resumed && look.dispatched > 0) {
            left =
                left.max(sweeper::tick(tenant, backlog, messenger, metrics, now, resumed).await?);
        }
        Ok(left)
    }

    /// How long until something at this tenant must be looked at.
    fn next(&self, tenant: &OpenTenant, look: &Look, now: Time) -> Duration {
        // Spread, so that thousands of tenants don't come due together.
        let mut wait = self.poll_interval.mul_f64(1.0 - 0.1 * self.random.unit());
        if look.dispatched > 0 || look.waiting > 0 {
            wait = wait.min(OPEN_EVERY);
        }
        let lease = look.next_lease_until.map(|until| until + delta(rescuer::GRACE));
        let mut times = vec![lease];
        if tenant.is_active() {
            // A sweep that is overdue waits for its queue, or for a longer silence of some row.
            let sweep = sweeper::next_at(look).filter(|at| *at > now);
            times.extend([look.next_due_at, look.next_available_at, sweep]);
        }
        for time in times.into_iter().flatten() {
            let until = match time > now {
                true => tenant.store.until(time),
                false => OVERDUE_AFTER,
            };
            wait = wait.min(until);
        }
        match wait > WARM_FOR {
            true => wait - WARM_UP,
            false => wait,
        }
    }
}
