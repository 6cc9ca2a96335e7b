//! How many messages may be published to each of the broker's queues.
//!
//! The queues are kept short: an execution that is still in its tenant's table can be paused, cancelled
//! and edited, and thousands of one tenant's executions do not delay another tenant's single one. Each
//! queue has an adaptive window (`window.rs`). A queue that no worker takes from has none.

mod window;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Clock;
use shared::queue::{BrokerState, Publisher};
use shared::store::Worker;

pub use window::Demand;
use window::{QueueWindow, READ_EVERY};

/// The longest wait before a tenant asks for capacity again.
const RETRY_MAX: Duration = Duration::from_secs(1);

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
    /// Until large queues that have just been filled are half empty. A poll, a read and a dispatch cost
    /// the database the same for ten jobs as for some hundred, so a queue is not refilled one by one.
    pub refill: Duration,
    /// Until a full queue is worth asking again: exponential, while nothing is taken from it.
    pub retry: Duration,
}

impl QueueCapacity {
    /// Starts with `queues`, which the publisher declares; the live workers may add others.
    pub fn new(publisher: Publisher, clock: Clock, queues: &[String]) -> QueueCapacity {
        let windows = queues.iter().map(|queue| (queue.clone(), QueueWindow::new(0))).collect();
        QueueCapacity {
            publisher,
            clock,
            windows: Mutex::new(windows),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Sets which queues the live workers take from, and with how many slots.
    pub fn set_workers(&self, workers: &[Worker]) {
        let mut slots: HashMap<&str, u32> = HashMap::new();
        for worker in workers {
            for queue in &worker.queues {
                *slots.entry(queue).or_default() += worker.slots.max(0).unsigned_abs();
            }
        }
        let mut windows = self.windows();
        for (queue, window) in windows.iter_mut() {
            window.set_slots(slots.remove(queue.as_str()).unwrap_or_default());
        }
        for (queue, slots) in slots {
            windows.insert(queue.to_owned(), QueueWindow::new(slots));
        }
    }

    /// Reserves part of each queue's capacity, at most `demand.wanted` of each. Reserves nothing while
    /// the broker takes no messages.
    pub async fn reserve(&self, demand: Demand) -> Reservation<'_> {
        let mut remaining = HashMap::new();
        if self.is_open() {
            self.read_depths().await;
            for (queue, window) in self.windows().iter_mut() {
                let granted = window.reserve(demand);
                if granted > 0 {
                    remaining.insert(queue.clone(), granted);
                }
            }
        }
        Reservation { capacity: self, remaining }
    }

    /// Whether some queue would grant a demand.
    pub async fn would_grant(&self, demand: Demand) -> bool {
        if !self.is_open() {
            return false;
        }
        self.read_depths().await;
        self.windows().values().any(|window| window.grant(demand) > 0)
    }

    /// How long to wait before the next dispatch.
    pub fn pauses(&self) -> Pauses {
        let windows = self.windows();
        let full = windows.values().filter(|window| window.is_full());
        let doublings = full.map(|window| window.idle_readings).min().unwrap_or_default().min(10);
        Pauses {
            refill: windows.values().map(QueueWindow::half_empty_in).min().unwrap_or_default(),
            retry: (READ_EVERY * (1 << doublings)).min(RETRY_MAX),
        }
    }

    fn is_open(&self) -> bool {
        *self.publisher.state().borrow() == BrokerState::Open
    }

    /// Reads the depth of the queues whose windows need a reading.
    async fn read_depths(&self) {
        let Ok(_reading) = self.reading.try_lock() else { return };
        let now = self.clock.boot_time();
        let stale = |(queue, window): (&String, &QueueWindow)| {
            window.needs_reading(now).then(|| queue.clone())
        };
        let queues: Vec<String> = self.windows().iter().filter_map(stale).collect();
        for queue in queues {
            let Some(depth) = self.publisher.depth(&queue).await else { continue };
            if let Some(window) = self.windows().get_mut(&queue) {
                window.read(depth, self.clock.boot_time());
            }
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<String, QueueWindow>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many messages one poll may publish to each queue. Dropping it releases the rest.
pub struct Reservation<'a> {
    capacity: &'a QueueCapacity,
    remaining: HashMap<String, u32>,
}

impl Reservation<'_> {
    /// How many more messages may be published to a queue.
    pub fn remaining(&self, queue: &str) -> u32 {
        self.remaining.get(queue).copied().unwrap_or_default()
    }

    /// How many more messages may be published in all.
    pub fn total(&self) -> u32 {
        self.remaining.values().sum()
    }

    /// Whether every queue has granted something.
    pub fn covers_every_queue(&self) -> bool {
        self.remaining.len() == self.capacity.windows().len()
    }

    /// The queues to which more may be published.
    pub fn queues(&self) -> Vec<String> {
        let open = self.remaining.iter().filter(|(_, remaining)| **remaining > 0);
        open.map(|(queue, _)| queue.clone()).collect()
    }

    /// Uses `count` messages of a queue's part if as many remain, and returns whether it did.
    pub fn try_spend(&mut self, queue: &str, count: u32) -> bool {
        match self.remaining.get_mut(queue) {
            Some(remaining) if *remaining >= count => {
                *remaining -= count;
                true
            }
            _ => count == 0,
        }
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
