//! Decides when a command's next process may start, and whether the command is ready. A death during an
//! execution does not count: one tenant's payload that kills processes must not affect other tenants.

use std::collections::VecDeque;
use std::time::Duration;

use shared::clock::BootTime;

/// This many deaths within [`PERIOD`] make a command not ready.
const DEATHS_MAX: usize = 5;
const PERIOD: Duration = Duration::from_secs(60);
/// The delay after the second death in a row; it doubles with each further one.
const DELAY_MIN: Duration = Duration::from_millis(500);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// The deaths of a command's processes.
#[derive(Default)]
pub(super) struct Restarts {
    /// The times of the last deaths without an execution.
    deaths: VecDeque<BootTime>,
    /// The number of consecutive failures without a finished execution between them.
    in_a_row: u32,
    /// When the next process may start.
    next: BootTime,
    /// Why the command is not ready.
    not_ready: Option<String>,
}

impl Restarts {
    /// A process that ran for `lived` died while it held no execution.
    pub(super) fn died(&mut self, now: BootTime, lived: Duration, reason: &str) {
        if lived >= PERIOD {
            self.in_a_row = 0;
        }
        self.delay(now);
        self.deaths.push_back(now);
        if self.deaths.len() > DEATHS_MAX {
            self.deaths.pop_front();
        }
        let recent = self.deaths.iter().filter(|at| now - **at < PERIOD).count();
        if recent >= DEATHS_MAX {
            self.not_ready = Some(format!("{DEATHS_MAX} processes died within a minute: {reason}"));
        }
    }

    /// A process said no valid hello in time.
    pub(super) fn refused(&mut self, now: BootTime, reason: &str) {
        self.delay(now);
        self.not_ready = Some(reason.to_owned());
    }

    /// A process said hello.
    pub(super) fn said_hello(&mut self) {
        self.not_ready = None;
    }

    /// A process finished an execution.
    pub(super) fn worked(&mut self) {
        self.in_a_row = 0;
    }

    /// When the next process may start.
    pub(super) fn next(&self) -> BootTime {
        self.next
    }

    /// Why the command is not ready, if it is not.
    pub(super) fn not_ready(&self) -> Option<&str> {
        self.not_ready.as_deref()
    }

    fn delay(&mut self, now: BootTime) {
        let delay = match self.in_a_row {
            0 => Duration::ZERO,
            more => (DELAY_MIN * (1 << (more - 1).min(10))).min(DELAY_MAX),
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.next = now + delay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: BootTime = BootTime::ZERO;
    const BRIEFLY: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_doubles_until_an_execution_ends() {
        let mut restarts = Restarts::default();
        let mut delays = Vec::new();
        for _ in 0..10 {
            restarts.died(AT, BRIEFLY, "status 1");
            delays.push((restarts.next() - AT).as_millis());
        }
        assert_eq!(delays, [0, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        restarts.worked();
        restarts.died(AT, BRIEFLY, "status 1");
        assert_eq!(restarts.next(), AT);
        restarts.died(AT, BRIEFLY, "status 1");
        restarts.died(AT, PERIOD, "status 1");
        assert_eq!(restarts.next(), AT, "it ran for a minute");
    }

    #[test]
    fn five_deaths_within_a_minute_or_no_hello_are_not_ready() {
        let mut restarts = Restarts::default();
        for second in [0, 20, 40, 59] {
            restarts.died(AT + Duration::from_secs(second), BRIEFLY, "status 1");
        }
        assert_eq!(restarts.not_ready(), None);
        restarts.died(AT + Duration::from_secs(61), BRIEFLY, "status 1");
        assert_eq!(restarts.not_ready(), None, "the first is more than a minute ago");
        restarts.died(AT + Duration::from_secs(62), BRIEFLY, "status 3");
        assert_eq!(restarts.not_ready(), Some("5 processes died within a minute: status 3"));
        restarts.said_hello();
        assert_eq!(restarts.not_ready(), None);
        restarts.refused(AT, "no hello within 30 s");
        assert_eq!(restarts.not_ready(), Some("no hello within 30 s"));
    }
}
