//! What makes a poll unnecessary. Pure.

use std::time::Duration;

use shared::clock::{BootTime, Time};
use shared::store::ChangeToken;

use crate::planner::HOLD;

/// A connection that was used more recently than this is still open.
pub(super) const STAYS_WARM_FOR: Duration = Duration::from_secs(4);
/// While the queues are full, one of the waiting tenants is polled in each of these intervals, because
/// what becomes due there must be recorded in time.
const POLL_WAITING_EVERY: Duration = Duration::from_millis(50);
/// The shortest time between two such polls of one tenant.
const POLL_WAITING_MIN: Duration = Duration::from_secs(1);

/// What makes a poll unnecessary.
#[derive(Debug, Default)]
pub enum SkipIf {
    /// Nothing.
    #[default]
    Never,
    /// The tenant's database is unchanged, and nothing is due soon.
    Unchanged {
        /// The change token from before the last poll.
        token: ChangeToken,
        /// The next event, by the tenant's database; none: never.
        until: Option<Time>,
        /// Until when an unchanged token replaces polls; none: without limit.
        trusted_until: Option<BootTime>,
    },
    /// The queues have been full since the poll at `since`.
    QueuesFull {
        /// When the tenant was polled last.
        since: BootTime,
    },
}

impl SkipIf {
    /// Whether a poll at `now` may be skipped, provided that the token is unchanged or the queues are still
    /// full. The tenant's next event is in `due_in`.
    pub fn may_skip(
        &self,
        now: BootTime,
        due_in: Option<Duration>,
        waiting_tenants: usize,
    ) -> bool {
        match self {
            SkipIf::Never => false,
            // Shortly before something is due, the connection is opened whatever the token says.
            SkipIf::Unchanged { trusted_until, .. } => {
                due_in.is_none_or(|due_in| due_in > STAYS_WARM_FOR)
                    && trusted_until.is_none_or(|until| now < until)
            }
            SkipIf::QueuesFull { since } => {
                let in_turn = POLL_WAITING_EVERY * waiting_tenants as u32;
                now - *since < in_turn.clamp(POLL_WAITING_MIN, HOLD)
            }
        }
    }
}
