//! Controls how many messages one queue may hold. Pure.
//!
//! The window is an adaptive limit on the messages that are ready in the queue. It is twice the live
//! slots at least, grows while the consumers take more than half of it between two readings, and
//! shrinks to about a second of what they take.

use std::time::Duration;

use shared::clock::BootTime;
use shared::queue::Depth;

/// The shortest time between two readings of a queue's depth.
pub(super) const READ_EVERY: Duration = Duration::from_millis(10);
/// The longest wait before a tenant asks for capacity again.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A reading says something about the consumers' speed only if the one before it is more recent than
/// this; over a longer time the queue may have been empty.
const RATE_MEASURED_WITHIN: Duration = Duration::from_secs(1);
/// The limit while little is known: enough for two consumers with the default slots.
const LIMIT_MIN: u32 = 10;
const LIMIT_MAX: u32 = 10_000;
/// A window with at least this limit is large: it is refilled once it is half empty, not before, and
/// grants no small reservations.
const LARGE: u32 = 100;
/// The longest wait before a large window is refilled, in case the consumers have become faster.
const REFILL_MAX: Duration = Duration::from_millis(200);
/// The most that one reservation is granted, so that other tenants get some as well.
const GRANT_MAX: u32 = 500;
/// A large window grants this fraction of its limit or nothing. Each small grant would cost its tenant
/// a poll, and its executions' claims, on fresh connections.
const GRANT_MIN_FRACTION: u32 = 8;

/// One queue's window.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueWindow {
    /// Slots of the live workers that take from the queue.
    pub(super) slots: u32,
    /// The limit that the consumers' speed justifies.
    limit: u32,
    /// How many were ready at the last reading.
    ready: u32,
    /// How many were reserved since then, whether published yet or not.
    reserved: u32,
    /// When the depth was read last.
    read_at: Option<BootTime>,
    /// When to ask again if it is full: doubled by each reading that finds that nothing was taken.
    pub(super) retry_in: Duration,
    /// Messages taken per second before the last reading, and for how long that was measured. Unknown
    /// if the reading found the queue empty: it may have been empty for long.
    rate: Option<(f64, Duration)>,
}

impl QueueWindow {
    /// The most messages that should be ready. With fewer than twice the slots, slots would be idle.
    fn limit(&self) -> u32 {
        self.limit.max(2 * self.slots).clamp(LIMIT_MIN, LIMIT_MAX)
    }

    /// How many more messages the queue takes.
    pub(super) fn free(&self) -> u32 {
        self.limit().saturating_sub(self.ready + self.reserved)
    }

    /// Whether at least half of the window is used, as far as is known.
    fn is_half_full(&self) -> bool {
        self.free() <= self.limit() / 2
    }

    fn is_large(&self) -> bool {
        self.limit() >= LARGE
    }

    /// Reserves as much as a tenant that wants `wanted` is granted, and returns how much that is.
    pub(super) fn reserve(&mut self, wanted: u32) -> u32 {
        let (free, is_large) = (self.free(), self.is_large());
        let least = if is_large { (self.limit() / GRANT_MIN_FRACTION).min(wanted) } else { 0 };
        // Half of what is free, so that the next tenant gets some as well.
        let granted = free.div_ceil(2).max(least).min(GRANT_MAX).min(wanted);
        let granted = if free < least { 0 } else { granted };
        self.reserved += granted;
        granted
    }

    /// Takes back what was reserved and not published.
    pub(super) fn release(&mut self, count: u32) {
        self.reserved = self.reserved.saturating_sub(count);
    }

    /// Whether another reading is worth its round trip.
    pub(super) fn needs_reading(&self, now: BootTime) -> bool {
        let is_stale = self.read_at.is_none_or(|read_at| (now - read_at) >= READ_EVERY);
        self.is_half_full() && is_stale
    }

    /// How long until a large window is half empty. A small one is refilled without delay.
    pub(super) fn half_empty_in(&self) -> Duration {
        let excess = (self.ready + self.reserved).saturating_sub(self.limit() / 2);
        if excess == 0 || !self.is_large() {
            return Duration::ZERO;
        }
        let Some((rate, measured_for)) = self.rate else { return READ_EVERY };
        let wait = Duration::from_secs_f64(f64::from(excess) / rate.max(1.0));
        // Trusted for twice as long as it was measured: the consumers may only just have begun.
        wait.min(measured_for * 2).clamp(READ_EVERY, REFILL_MAX)
    }

    /// Takes a reading of the queue's depth, and adapts the limit to the consumers' speed.
    pub(super) fn read(&mut self, depth: Depth, now: BootTime) {
        let elapsed = self.read_at.map_or(RATE_MEASURED_WITHIN, |read_at| now - read_at);
        let taken = (self.ready + self.reserved).saturating_sub(depth.ready);
        let rate = f64::from(taken) / elapsed.as_secs_f64().max(0.001);
        self.rate = (depth.ready > 0).then_some((rate, elapsed));
        self.retry_in = if taken == 0 { self.retry_in * 2 } else { READ_EVERY };
        self.retry_in = self.retry_in.clamp(READ_EVERY, RETRY_MAX);
        let kept_up = self.is_half_full() && depth.ready <= self.limit() / 2;
        self.limit = if kept_up && elapsed < RATE_MEASURED_WITHIN {
            // If the queue was found empty, the limit may be much too low.
            self.limit().saturating_mul(if depth.ready == 0 { 4 } else { 2 })
        } else {
            // A float that is too large for the type becomes its largest value.
            self.limit().min(rate as u32)
        };
        self.limit = self.limit.max(LIMIT_MIN * depth.consumers);
        (self.ready, self.reserved, self.read_at) = (depth.ready, 0, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(ready: u32) -> Depth {
        Depth { ready, consumers: 1 }
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(n: u64) -> BootTime {
        BootTime::ZERO + millis(n)
    }

    #[test]
    fn the_limit_grows_while_the_consumers_keep_up_and_falls_when_they_do_not() {
        let mut window = QueueWindow::default();
        let mut now = at(0);
        let mut limits = Vec::new();
        for ready in [0, 0, 0, 10, 100, 200] {
            window.reserved += window.free();
            now = now + millis(20);
            window.read(depth(ready), now);
            limits.push(window.limit());
        }
        assert_eq!(
            limits,
            [10, 40, 160, 320, 640, 1280],
            "the first reading says nothing about speed"
        );
        window.reserved += window.free();
        now = now + millis(20);
        window.read(depth(window.limit()), now);
        assert_eq!(window.limit(), LIMIT_MIN, "nothing was taken");
        assert_eq!(window.free(), 0);
    }

    #[test]
    fn a_large_window_is_refilled_when_it_is_half_empty() {
        let mut window =
            QueueWindow { limit: 1000, read_at: Some(at(0)), ..QueueWindow::default() };
        window.reserved = 1000;
        window.read(depth(800), at(100));
        assert_eq!((window.limit(), window.rate), (1000, Some((2000.0, millis(100)))));
        assert_eq!(window.half_empty_in(), millis(150));
        window.ready = 501;
        assert_eq!(window.half_empty_in(), READ_EVERY);
        window.ready = 500;
        assert_eq!(window.half_empty_in(), Duration::ZERO);
        window.rate = Some((20.0, millis(15)));
        window.ready = 600;
        assert_eq!(window.half_empty_in(), millis(30), "twice as long as it was measured");
        let rate = Some((2000.0, millis(100)));
        let small = QueueWindow { limit: 20, reserved: 20, rate, ..QueueWindow::default() };
        assert_eq!(small.half_empty_in(), Duration::ZERO);
    }

    #[test]
    fn a_reading_of_an_empty_queue_gives_no_rate() {
        let mut window = QueueWindow { limit: 400, read_at: Some(at(0)), ..QueueWindow::default() };
        window.reserved = 100;
        window.read(depth(0), at(500));
        assert_eq!(window.rate, None, "it would be 200 a second, had it taken until now");
        window.reserved = window.limit();
        assert_eq!(window.half_empty_in(), READ_EVERY);
    }

    #[test]
    fn a_large_window_makes_no_small_grants() {
        let mut window = QueueWindow { limit: 800, ..QueueWindow::default() };
        let mut grants = Vec::new();
        for _ in 0..5 {
            grants.push(window.reserve(u32::MAX));
        }
        assert_eq!(grants, [400, 200, 100, 100, 0]);
        window.reserved = 701;
        assert_eq!(window.reserve(u32::MAX), 0);
        assert_eq!(window.reserve(7), 7, "a demand that is met in full is not small");
        let mut small = QueueWindow { limit: 20, reserved: 19, ..QueueWindow::default() };
        assert_eq!(small.reserve(u32::MAX), 1);
    }

    #[test]
    fn what_is_released_is_free_again() {
        let mut window = QueueWindow::default();
        let granted = window.reserve(4);
        assert_eq!((granted, window.free()), (4, 6));
        window.release(3);
        assert_eq!(window.free(), 9);
        window.read(depth(2), at(0));
        window.release(9);
        assert_eq!(window.free(), 8, "what was reserved before a reading is part of it");
    }

    #[test]
    fn a_reading_is_taken_when_the_window_is_half_full_and_the_last_one_is_old() {
        let mut window = QueueWindow::default();
        assert!(!window.needs_reading(at(0)), "it is empty, as far as is known");
        window.reserve(5);
        assert!(window.needs_reading(at(0)));
        window.read(depth(5), at(0));
        assert!(!window.needs_reading(at(9)) && window.needs_reading(at(10)));
    }

    #[test]
    fn slow_consumers_get_twice_their_slots_and_light_load_does_not_raise_the_limit() {
        let mut window = QueueWindow { slots: 12, ..QueueWindow::default() };
        window.read(depth(0), at(0));
        assert_eq!(window.limit(), 24);
        for n in 1..100 {
            window.reserved += window.free();
            window.read(depth(0), at(10_000 * n));
            assert_eq!(window.limit(), 24);
        }
    }
}
