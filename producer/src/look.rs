//! One look at one tenant: collect what is lost, work out what is new, dispatch what is due, send
//! again what nobody has heard of; and when to look again.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{BootTime, Time, delta};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{ChangeToken, PollSummary, Result};
use shared::tenants::OpenTenant;

use crate::backlog::Backlog;
use crate::dispatcher::{Dispatcher, Left};
use crate::lateness::Lateness;
use crate::messenger::Messenger;
use crate::pace::Pace;
use crate::pruner::Pruner;
use crate::{rescuer, sweeper};

/// While something is on its way to a worker, its row is looked at this often.
const OPEN_EVERY: Duration = Duration::from_secs(10);
/// What should have been done by now, and was not, is tried again after this long.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// Where jobs keep coming due, they are dispatched together once in so long: a look, a read and a
/// dispatch cost the database the same for one of them as for a hundred.
const GATHER: Duration = Duration::from_millis(25);
/// For so long a look is gone by where each batch leaves more to dispatch: it counts all that is open,
/// and that may be thousands of rows.
const GONE_BY: Duration = Duration::from_millis(250);
/// A connection is opened this long before it is needed.
const WARM_UP: Duration = Duration::from_millis(100);
/// A connection that was used more recently than this is still warm.
const WARM_FOR: Duration = Duration::from_secs(4);
/// A connection that isn't needed for this long is closed at once.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What looks at tenants work with.
pub struct Looker {
    /// How much the queues take.
    pub backlog: Backlog,
    /// Sends the messages.
    pub messenger: Messenger,
    /// Notices what is late.
    pub lateness: Lateness,
    /// Removes old history.
    pub pruner: Pruner,
    /// For ids, and to spread polls.
    pub random: Random,
    /// The longest time between two looks at a tenant.
    pub pace: Pace,
    /// Where it counts what it does.
    pub metrics: Metrics,
}

/// What a look comes to.
pub struct Looked {
    /// How long to wait before the next one.
    pub wait: Duration,
    /// What is known of the tenant until then.
    pub still: Option<Still>,
}

/// What may spare a tenant the next look.
pub enum Still {
    /// Nothing is on its way, nor due.
    Rest(Rest),
    /// What is due waits until a queue has room.
    Blocked(Blocked),
    /// More is due than a batch holds.
    Going(Going),
}

/// A tenant whose jobs are dispatched batch by batch.
pub struct Going {
    /// What was found there, and the number of its next dispatch.
    look: PollSummary,
    /// When.
    looked_at: BootTime,
}

/// A tenant that finds no room in the queues.
pub struct Blocked {
    /// When it was looked at.
    pub looked_at: BootTime,
}

/// Nothing is on its way at a tenant, nor due.
pub struct Rest {
    /// When something will be; none: as it is now, never.
    pub until: Option<Time>,
    /// How it looked from outside before it was looked at. While it does, there is no need to look
    /// again.
    pub change_token: Option<ChangeToken>,
    /// Until when that is believed. None: for as long as it looks so.
    pub believed_until: Option<BootTime>,
}

impl Looker {
    /// Looks at a tenant, unless it is `still` as it was. `resumed`: it was suspended until now.
    pub async fn tick(
        &self,
        tenant: &Arc<OpenTenant>,
        still: Option<Still>,
        resumed: bool,
    ) -> Result<Looked> {
        let known = match still {
            Some(Still::Rest(rest)) if self.rests(tenant, &rest).await => {
                self.metrics.looks_spared.inc();
                let wait = self.wait(tenant, rest.until, true);
                return Ok(Looked { wait, still: Some(Still::Rest(rest)) });
            }
            Some(Still::Blocked(blocked)) if !self.backlog.has_room().await => {
                return Ok(self.blocked(blocked));
            }
            Some(Still::Going(going)) if self.since(going.looked_at) < GONE_BY => Some(going),
            _ => None,
        };
        if known.is_none() {
            self.metrics.looks.inc();
        }
        let now = tenant.store.now().await?;
        let change_token = self.change_token(tenant).await;
        if self.pace.told(tenant, change_token.is_some()) {
            self.metrics.poll_interval.set(self.pace.longest().as_secs_f64());
        }
        let glances = change_token.is_some();
        let mut looked = self.look(tenant, now, known, glances, resumed).await?;
        let more = matches!(looked.still, None | Some(Still::Going(_)));
        if more && self.pace.is_crowded(tenant) {
            // There is more to do, and the next look would take another connection.
            looked = self.look(tenant, tenant.store.now().await?, None, glances, false).await?;
        }
        if let Some(Still::Rest(rest)) = &mut looked.still {
            if rest.until.is_none_or(|until| tenant.store.until(until) > KEPT_FOR) {
                tenant.store.close_idle();
            }
            rest.believed_until = self.pace.believed_until(tenant, self.random.unit());
            rest.change_token = change_token;
        }
        Ok(looked)
    }

    /// Whether a tenant is at rest as it was, and nothing will be due there in a moment.
    async fn rests(&self, tenant: &OpenTenant, rest: &Rest) -> bool {
        rest.until.is_none_or(|until| tenant.store.until(until) > WARM_FOR)
            && self.pace.believes(rest)
            && rest.change_token.is_some()
            && rest.change_token == self.change_token(tenant).await
    }

    /// What is due here waits for room.
    fn blocked(&self, blocked: Blocked) -> Looked {
        let wait = self.backlog.retry_after().max(self.backlog.refill_after());
        Looked { wait, still: Some(Still::Blocked(blocked)) }
    }

    fn since(&self, looked_at: BootTime) -> Duration {
        self.pace.boot_time() - looked_at
    }

    /// How a tenant looks from outside, if that spares looks.
    async fn change_token(&self, tenant: &OpenTenant) -> Option<ChangeToken> {
        if self.pace.spares(tenant) { tenant.store.change_token().await } else { None }
    }

    /// `known`: what there is to do need not be read. `glances`: in the time to come it can be told
    /// from outside whether the tenant has changed.
    async fn look(
        &self,
        tenant: &Arc<OpenTenant>,
        now: Time,
        known: Option<Going>,
        glances: bool,
        resumed: bool,
    ) -> Result<Looked> {
        let gone_by = known.is_some();
        let Going { look, looked_at } = match known {
            Some(known) => known,
            None => Going { look: tenant.store.poll().await?, looked_at: self.pace.boot_time() },
        };
        let mut left = Left::Nothing;
        if look.next_lease_until.is_some_and(|until| until < now - delta(rescuer::GRACE))
            && rescuer::tick(tenant, now, &self.random, &self.metrics).await? > 0
        {
            left = Left::More;
        }
        if tenant.is_active() {
            left = left.max(self.move_on(tenant, &look, now, resumed).await?);
        }
        let mut looked = match left {
            Left::Full if tenant.tenant.max_running.is_none() => {
                let look = PollSummary { dispatch_no: look.dispatch_no + 1, ..look };
                let still = Some(Still::Going(Going { look, looked_at }));
                return Ok(Looked { wait: self.backlog.refill_after(), still });
            }
            Left::Full | Left::More => {
                return Ok(Looked { wait: self.backlog.refill_after(), still: None });
            }
            // It may go on like this for hours; what is below has its turn all the same.
            Left::Soon => Looked { wait: self.backlog.refill_after().max(GATHER), still: None },
            Left::Blocked => self.blocked(Blocked { looked_at: self.pace.boot_time() }),
            // What will be due, and when, it takes a look to know.
            Left::Nothing if gone_by => return Ok(Looked { wait: Duration::ZERO, still: None }),
            Left::Nothing => self.next(tenant, &look, now, glances),
        };
        if tenant.is_active() {
            let step = self.pruner.tick(tenant, now).await?;
            looked.wait = step.map_or(looked.wait, |step| looked.wait.min(step));
            if let Some(Still::Rest(rest)) = &mut looked.still {
                let prune = self.pruner.next_at(tenant.tenant.id);
                rest.until = [rest.until, prune].into_iter().flatten().min();
            }
        }
        Ok(looked)
    }

    /// What is done for active tenants only.
    async fn move_on(
        &self,
        tenant: &Arc<OpenTenant>,
        look: &PollSummary,
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
        // What a suspension has held up is given time to start.
        if !resumed && self.lateness.tick(tenant, look, now).await? {
            left = Left::More;
        }
        Ok(left)
    }

    /// When this tenant must be looked at again.
    fn next(&self, tenant: &OpenTenant, look: &PollSummary, now: Time, glances: bool) -> Looked {
        let lease = look.next_lease_until.map(|until| until + delta(rescuer::GRACE));
        let mut times = vec![lease];
        if tenant.is_active() {
            // A sweep that is overdue waits for its queue, or for a longer silence of some row.
            let sweep = sweeper::next_at(look).filter(|at| *at > now);
            times.extend([look.next_due_at, look.next_available_at, sweep]);
        }
        let (overdue, ahead): (Vec<Time>, Vec<Time>) =
            times.into_iter().flatten().partition(|time| *time <= now);
        let until = ahead.into_iter().min();
        let mut wait = self.wait(tenant, until, glances);
        let on_its_way = look.dispatched > 0 || look.waiting > 0;
        if on_its_way {
            wait = wait.min(OPEN_EVERY);
        }
        if !overdue.is_empty() {
            wait = wait.min(OVERDUE_AFTER);
        }
        let rests = !on_its_way && overdue.is_empty();
        let rest = Rest { until, change_token: None, believed_until: None };
        Looked { wait, still: rests.then_some(Still::Rest(rest)) }
    }

    /// How long until the next look, or glance, at a tenant where something is due at `until`.
    fn wait(&self, tenant: &OpenTenant, until: Option<Time>, glances: bool) -> Duration {
        // Spread, so that thousands of tenants don't come due together.
        let poll = self.pace.interval(tenant, glances).mul_f64(1.0 - 0.1 * self.random.unit());
        let wait = until.map_or(poll, |until| poll.min(tenant.store.until(until)));
        match wait > WARM_FOR {
            true => wait - WARM_UP,
            false => wait,
        }
    }
}
