//! How many messages may be published to each of the broker's queues.
//!
//! The queues are kept short: an execution that is still in its tenant's table can be paused, cancelled
//! and edited, and thousands of one tenant's executions do not delay another tenant's single one. Each
//! queue has an adaptive window (`window.rs`).

mod window;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Clock;
use shared::queue::{BrokerState, Publisher};
use shared::store::Worker;

use window::{QueueWindow, READ_EVERY};

/// The capacity of all queues.
pub struct QueueCapacity {
    publisher: Publisher,
    clock: Clock,
    windows: Mutex<HashMap<String, QueueWindow>>,
    /// Held during a reading. Others use the last one meanwhile.
    reading: tokio::sync::Mutex<()>,
}

/// How long to wait before the next dispatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Until large queues that have just been filled are half empty.
    pub refill: Duration,
    /// Until a full queue is worth asking again: exponential, while nothing is taken from it.
    pub retry: Duration,
}

impl QueueCapacity {
    /// Starts with `queues`, which the publisher declares; the live workers may add others.
    pub fn new(publisher: Publisher, clock: Clock, queues: &[String]) -> QueueCapacity {
        let windows = queues.iter().map(|queue| (queue.clone(), QueueWindow::default()));
        let windows = Mutex::new(windows.collect());
        QueueCapacity { publisher, clock, windows, reading: Default::default() }
    }

    /// Sets which queues the live workers take from, and with how many slots.
    pub fn set_workers(&self, workers: &[Worker]) {
        let mut windows = self.windows();
        windows.values_mut().for_each(|window| window.slots = 0);
        for worker in workers {
            for queue in &worker.queues {
                let slots = worker.slots.max(0).unsigned_abs();
                windows.entry(queue.clone()).or_default().slots += slots;
            }
        }
    }

    /// Reserves part of each queue's capacity, at most `wanted` of each.
    pub(crate) async fn reserve(&self, wanted: u32) -> Reservation<'_> {
        let wanted = if self.refresh().await { wanted } else { 0 };
        let mut windows = self.windows();
        let granted = windows.iter_mut().map(|(queue, it)| (queue.clone(), it.reserve(wanted)));
        Reservation { capacity: self, remaining: granted.collect() }
    }

    /// How long to wait before the next dispatch.
    pub fn pauses(&self) -> Pauses {
        let windows = self.windows();
        let full = windows.values().filter(|window| window.free() == 0);
        Pauses {
            refill: windows.values().map(QueueWindow::half_empty_in).min().unwrap_or_default(),
            retry: full.map(|window| window.retry_in).min().unwrap_or_default().max(READ_EVERY),
        }
    }

    /// Reads the depths of the queues whose windows need it. False: the broker takes no messages.
    async fn refresh(&self) -> bool {
        if *self.publisher.state().borrow() != BrokerState::Open {
            return false;
        }
        let Ok(_reading) = self.reading.try_lock() else { return true };
        let now = self.clock.boot_time();
        let needs_reading = |(queue, window): (&String, &QueueWindow)| {
            window.needs_reading(now).then(|| queue.clone())
        };
        let queues: Vec<String> = self.windows().iter().filter_map(needs_reading).collect();
        for queue in queues {
            let Some(depth) = self.publisher.depth(&queue).await else { continue };
            if let Some(window) = self.windows().get_mut(&queue) {
                window.read(depth, self.clock.boot_time());
            }
        }
        true
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<String, QueueWindow>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many messages one poll may publish to each queue. Dropping it releases the rest.
pub(crate) struct Reservation<'a> {
    capacity: &'a QueueCapacity,
    remaining: HashMap<String, u32>,
}

impl Reservation<'_> {
    pub(crate) fn remaining(&self, queue: &str) -> u32 {
        self.remaining.get(queue).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> u32 {
        self.remaining.values().sum()
    }

    /// Whether every queue has granted something. Ask before anything is spent.
    pub(crate) fn covers_every_queue(&self) -> bool {
        self.remaining.values().all(|granted| *granted > 0)
    }

    pub(crate) fn queues(&self) -> Vec<String> {
        let open = self.remaining.iter().filter(|(_, remaining)| **remaining > 0);
        open.map(|(queue, _)| queue.clone()).collect()
    }

    /// Uses `count` messages of a queue's part if as many remain, and returns whether it did.
    pub(crate) fn try_spend(&mut self, queue: &str, count: u32) -> bool {
        let suffices = self.remaining(queue) >= count;
        if let Some(remaining) = self.remaining.get_mut(queue).filter(|_| suffices) {
            *remaining -= count;
        }
        suffices
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut windows = self.capacity.windows();
        for (queue, remaining) in &self.remaining {
            if let Some(window) = windows.get_mut(queue) {
                window.release(*remaining);
            }
        }
    }
}
