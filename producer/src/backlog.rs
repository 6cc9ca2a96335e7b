//! How full the broker's queues are, and how much more may be published to each.
//!
//! The queues are kept short: what is still in a tenant's own table can be paused, cancelled and
//! edited, and one tenant's thousands don't stand before another's single job. The high-water mark
//! is twice the live slots or, where the consumers are quicker than that, about a second of what
//! they take. Only queues that somebody takes from get anything; the others are full.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::queue::{BrokerState, Depth, Publisher};
use shared::store::Worker;

/// A reading is not taken more often than this.
const READ_EVERY: Duration = Duration::from_millis(10);
/// A rate is only believed if it was measured over less time than this: before, the queue may have
/// been empty.
const RATE_LASTS: Duration = Duration::from_secs(1);
/// The longest wait for room.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// The mark where little is known: two consumers' worth of the default slots.
const MARK_MIN: u32 = 10;
/// From this mark on, a queue is refilled when it is half empty, not before.
const RAISED_MARK: u32 = 100;
/// The longest wait before such a queue is refilled, should it be emptied quicker than before.
const REFILL_MAX: Duration = Duration::from_millis(200);
/// The highest mark.
const MARK_MAX: u32 = 10_000;
/// What one look may take of a queue's room, so that others find some, too.
const GRANT_MAX: u32 = 500;
/// The part of a raised mark that is worth a look at a tenant. Crumbs would have each of many tenants
/// looked at, and its executions claimed, by fresh connections again and again.
const WORTH_A_LOOK: u32 = 8;

/// The queues that somebody takes from.
pub struct Backlog {
    publisher: Publisher,
    clock: Clock,
    queues: Mutex<HashMap<String, Filling>>,
    /// Held while a reading is taken; whoever comes meanwhile goes by the one before.
    reading: tokio::sync::Mutex<()>,
}

/// What is known of one queue.
#[derive(Clone, Debug)]
struct Filling {
    /// Slots of the live consumers that take from it.
    slots: u32,
    /// The most messages that should lie ready.
    mark: u32,
    /// How many lay ready when it was read last.
    ready: u32,
    /// How many were granted since, published or about to be.
    granted: u32,
    /// When it was read; never, if none.
    read_at: Option<BootTime>,
    /// How many readings in a row have found that nothing was taken.
    idle_readings: u32,
    /// How many messages a second were taken before the last reading, and for how long that was
    /// measured. Unknown, if it found the queue empty: it may have been so for long.
    rate: Option<(f64, Duration)>,
}

impl Filling {
    fn new() -> Filling {
        Filling {
            slots: 0,
            mark: MARK_MIN,
            ready: 0,
            granted: 0,
            read_at: None,
            idle_readings: 0,
            rate: None,
        }
    }

    /// The mark without which slots would stand empty.
    fn least(&self) -> u32 {
        (2 * self.slots).clamp(MARK_MIN, MARK_MAX)
    }

    fn room(&self) -> u32 {
        self.mark.saturating_sub(self.ready + self.granted)
    }

    /// How much of the room somebody gets who wants so much.
    fn grant(&self, wanted: u32) -> u32 {
        let room = self.room();
        let raised = self.mark >= RAISED_MARK;
        let least = if raised { (self.mark / WORTH_A_LOOK).min(wanted) } else { 0 };
        if room < least {
            return 0;
        }
        // Half of what there is, so that whoever comes next finds some.
        room.div_ceil(2).max(least).min(GRANT_MAX).min(wanted)
    }

    /// Whether so much was granted that it is worth another reading.
    fn is_half_full(&self) -> bool {
        self.room() <= self.mark / 2
    }

    /// How long until it is half empty, if it is taken from so quickly that its mark was raised;
    /// small ones are filled up without delay.
    fn half_empty_in(&self) -> Duration {
        let over = (self.ready + self.granted).saturating_sub(self.mark / 2);
        if over == 0 || self.mark < RAISED_MARK {
            return Duration::ZERO;
        }
        match self.rate {
            // Trusted for twice as long as it was measured: the consumers may only just have begun.
            Some((rate, measured)) => Duration::from_secs_f64(f64::from(over) / rate.max(1.0))
                .min(measured * 2)
                .clamp(READ_EVERY, REFILL_MAX),
            // The next reading will tell.
            None => READ_EVERY,
        }
    }

    /// Takes a reading in, and raises the mark while the consumers keep up with it.
    fn read(&mut self, depth: Depth, now: BootTime) {
        let since = self.read_at.map_or(RATE_LASTS, |read_at| now - read_at);
        let taken = (self.ready + self.granted).saturating_sub(depth.ready);
        let rate = f64::from(taken) / since.as_secs_f64().max(0.001);
        self.rate = (depth.ready > 0).then_some((rate, since));
        self.idle_readings = if taken == 0 { self.idle_readings.saturating_add(1) } else { 0 };
        let least = self.least().max(MARK_MIN * depth.consumers).min(MARK_MAX);
        let kept_up = self.is_half_full() && depth.ready <= self.mark / 2;
        self.mark = if kept_up && since < RATE_LASTS {
            // Found empty, it may have been much too low.
            self.mark.saturating_mul(if depth.ready == 0 { 4 } else { 2 })
        } else {
            // A float that is too large for the type becomes its largest value.
            self.mark.min(rate as u32)
        };
        self.mark = self.mark.clamp(least, MARK_MAX);
        (self.ready, self.granted, self.read_at) = (depth.ready, 0, Some(now));
    }
}

impl Backlog {
    /// Knows of `queues`, which the publisher declares, until workers are heard of.
    pub fn new(publisher: Publisher, clock: Clock, queues: &[String]) -> Backlog {
        let known = queues.iter().map(|queue| (queue.clone(), Filling::new())).collect();
        Backlog {
            publisher,
            clock,
            queues: Mutex::new(known),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Learns which queues the live workers take from, and with how many slots.
    pub fn hear_of(&self, workers: &[Worker]) {
        let mut slots: HashMap<&str, u32> = HashMap::new();
        for worker in workers {
            for queue in &worker.queues {
                *slots.entry(queue).or_default() += worker.slots.max(0).unsigned_abs();
            }
        }
        let mut queues = self.queues();
        for (name, filling) in queues.iter_mut() {
            filling.slots = slots.remove(name.as_str()).unwrap_or_default();
            filling.mark = filling.mark.max(filling.least());
        }
        for (name, slots) in slots {
            let filling = Filling { slots, ..Filling::new() };
            queues.insert(name.to_owned(), Filling { mark: filling.least(), ..filling });
        }
    }

    /// Takes part of each queue's room, at most `wanted` of each.
    pub async fn take(&self, wanted: u32) -> Room<'_> {
        let mut left = HashMap::new();
        if *self.publisher.state().borrow() == BrokerState::Open {
            self.read_what_is_half_full().await;
            for (name, filling) in self.queues().iter_mut() {
                let grant = filling.grant(wanted);
                if grant > 0 {
                    filling.granted += grant;
                    left.insert(name.clone(), grant);
                }
            }
        }
        Room { backlog: self, left }
    }

    /// Whether there is something to take.
    pub async fn has_room(&self) -> bool {
        if *self.publisher.state().borrow() != BrokerState::Open {
            return false;
        }
        self.read_what_is_half_full().await;
        self.queues().values().any(|filling| filling.grant(u32::MAX) > 0)
    }

    /// How long to wait for room: the longer, the longer nothing has been taken.
    pub fn retry_after(&self) -> Duration {
        let queues = self.queues();
        let full = queues.values().filter(|filling| filling.room() == 0);
        let doublings = full.map(|filling| filling.idle_readings).min().unwrap_or_default().min(10);
        (READ_EVERY * (1 << doublings)).min(RETRY_MAX)
    }

    /// How long to wait before more is dispatched to queues that have had much just now. A look, a
    /// read and a dispatch cost the database the same for ten jobs as for some hundred, so a queue
    /// is not filled up job by job.
    pub fn refill_after(&self) -> Duration {
        self.queues().values().map(Filling::half_empty_in).min().unwrap_or_default()
    }

    async fn read_what_is_half_full(&self) {
        let Ok(_reading) = self.reading.try_lock() else { return };
        let now = self.clock.boot_time();
        let stale =
            |filling: &Filling| filling.read_at.is_none_or(|read_at| now - read_at >= READ_EVERY);
        let half_full: Vec<String> = self
            .queues()
            .iter()
            .filter(|(_, filling)| filling.is_half_full() && stale(filling))
            .map(|(name, _)| name.clone())
            .collect();
        for name in half_full {
            if let Some(depth) = self.publisher.depth(&name).await
                && let Some(filling) = self.queues().get_mut(&name)
            {
                filling.read(depth, self.clock.boot_time());
            }
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Filling>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one look may publish to each queue; what is left of it goes back when it is dropped.
pub struct Room<'a> {
    backlog: &'a Backlog,
    left: HashMap<String, u32>,
}

impl Room<'_> {
    /// How many messages this queue may be sent.
    pub fn of(&self, queue: &str) -> u32 {
        self.left.get(queue).copied().unwrap_or_default()
    }

    /// How many messages may be sent in all.
    pub fn total(&self) -> u32 {
        self.left.values().sum()
    }

    /// Whether every queue that somebody takes from may be sent some.
    pub fn is_everywhere(&self) -> bool {
        self.left.len() == self.backlog.queues().len()
    }

    /// The queues that may be sent any.
    pub fn queues(&self) -> Vec<String> {
        self.left.iter().filter(|(_, left)| **left > 0).map(|(name, _)| name.clone()).collect()
    }

    /// Uses some of it up. False: there is not so much.
    pub fn spend(&mut self, queue: &str, count: u32) -> bool {
        match self.left.get_mut(queue) {
            Some(left) if *left >= count => {
                *left -= count;
                true
            }
            _ => count == 0,
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut queues = self.backlog.queues();
        for (name, count) in &self.left {
            if let Some(filling) = queues.get_mut(name) {
                filling.granted = filling.granted.saturating_sub(*count);
            }
        }
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
    fn the_mark_grows_while_the_consumers_keep_up_and_falls_when_they_do_not() {
        let mut queue = Filling::new();
        let mut now = at(0);
        let mut marks = Vec::new();
        for ready in [0, 0, 0, 10, 100, 200] {
            queue.granted += queue.room();
            now = now + millis(20);
            queue.read(depth(ready), now);
            marks.push(queue.mark);
        }
        assert_eq!(marks, [10, 40, 160, 320, 640, 1280], "the first reading says nothing of speed");
        queue.granted += queue.room();
        now = now + millis(20);
        queue.read(depth(queue.mark), now);
        assert_eq!(queue.mark, MARK_MIN, "nothing was taken");
        assert_eq!(queue.room(), 0);
    }

    #[test]
    fn a_queue_that_is_emptied_quickly_is_refilled_when_half_of_it_is_gone() {
        let mut queue = Filling { mark: 1000, read_at: Some(at(0)), ..Filling::new() };
        queue.granted = 1000;
        queue.read(depth(800), at(100));
        assert_eq!((queue.mark, queue.rate), (1000, Some((2000.0, millis(100)))));
        assert_eq!(queue.half_empty_in(), millis(150));
        queue.ready = 501;
        assert_eq!(queue.half_empty_in(), READ_EVERY);
        queue.ready = 500;
        assert_eq!(queue.half_empty_in(), Duration::ZERO);
        queue.rate = Some((20.0, millis(15)));
        queue.ready = 600;
        assert_eq!(queue.half_empty_in(), millis(30), "twice as long as it was measured");
        let small =
            Filling { mark: 20, granted: 20, rate: Some((2000.0, millis(100))), ..Filling::new() };
        assert_eq!(small.half_empty_in(), Duration::ZERO);
    }

    #[test]
    fn how_long_a_queue_was_empty_says_nothing_of_how_quickly_it_is_taken_from() {
        let mut queue = Filling { mark: 400, read_at: Some(at(0)), ..Filling::new() };
        queue.granted = 100;
        queue.read(depth(0), at(500));
        assert_eq!(queue.rate, None, "200 a second, had it lasted until now");
        queue.granted = queue.mark;
        assert_eq!(queue.half_empty_in(), READ_EVERY);
    }

    #[test]
    fn nobody_gets_crumbs_of_a_large_queue() {
        let mut queue = Filling { mark: 800, ready: 0, ..Filling::new() };
        let mut grants = Vec::new();
        while queue.grant(u32::MAX) > 0 {
            grants.push(queue.grant(u32::MAX));
            queue.granted += queue.grant(u32::MAX);
        }
        assert_eq!(grants, [400, 200, 100, 100]);
        queue.granted = 701;
        assert_eq!((queue.grant(u32::MAX), queue.grant(7)), (0, 7), "all that one wants is enough");
        let small = Filling { mark: 20, granted: 19, ..Filling::new() };
        assert_eq!(small.grant(u32::MAX), 1);
    }

    #[test]
    fn slow_consumers_get_twice_their_slots_and_light_load_raises_nothing() {
        let mut queue = Filling { slots: 12, ..Filling::new() };
        queue.read(depth(0), at(0));
        assert_eq!(queue.mark, 24);
        for n in 1..100 {
            queue.granted += queue.room();
            queue.read(depth(0), at(10_000 * n));
            assert_eq!(queue.mark, 24);
        }
    }
}
