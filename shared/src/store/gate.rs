//! A gate that every operation of the store passes twice: before it reaches the database, and again with
//! the database's answer.
//!
//! Only the simulation uses it, to decide when each operation continues, whether the database is
//! reachable, and whether the answer arrives. Release builds do not contain it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::error::{Result, StoreError};

/// The gate of one process. Clones share it.
#[derive(Clone, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    under_way: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    arrived: u64,
}

struct Waiting {
    passage: Passage,
    decision: oneshot::Sender<Decision>,
}

/// An operation that waits at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its sequence number among the arrivals at this gate.
    pub number: u64,
    /// The number of the database, in the order in which this process first used them.
    pub database: u64,
    /// The store's method.
    pub name: &'static str,
    /// Whether the operation is on its way to the database or back.
    pub way: Way,
}

/// On which side of the database an operation waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Before the database. If the gate fails it, the database was unreachable and nothing was done.
    In,
    /// After the database, which carried it out or refused it. If the gate fails it, the caller does not
    /// learn which.
    Out,
}

/// What happens to an operation that waits at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It continues.
    Pass,
    /// It returns an error.
    Fail,
}

impl Gate {
    /// The waiting operations, in the order of arrival.
    pub fn waiting(&self) -> Vec<Passage> {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.decision.is_closed());
        queue.waiting.iter().map(|waiting| waiting.passage).collect()
    }

    /// Lets a waiting operation pass, or fails it.
    pub fn decide(&self, number: u64, decision: Decision) {
        let mut queue = self.queue();
        let at = queue.waiting.iter().position(|waiting| waiting.passage.number == number);
        if let Some(at) = at {
            let _ = queue.waiting.remove(at).decision.send(decision); // its future may have been dropped
        }
    }

    /// How many operations have passed the gate inwards and have no answer yet.
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::SeqCst)
    }

    async fn pass(&self, database: u64, name: &'static str, way: Way) -> Decision {
        let (decision, decided) = oneshot::channel();
        {
            let mut queue = self.queue();
            queue.arrived += 1;
            let passage = Passage { number: queue.arrived, database, name, way };
            queue.waiting.push(Waiting { passage, decision });
        }
        decided.await.unwrap_or(Decision::Fail)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that has passed the gate inwards.
pub(super) struct UnderWay(Option<(Gate, u64, &'static str)>);

/// Waits until the gate lets an operation in. `code` is the type name of a closure in the store's method,
/// from which the method's name is taken.
pub(super) async fn enter(
    gate: Option<&Gate>,
    database: u64,
    code: &'static str,
) -> Result<UnderWay> {
    let Some(gate) = gate else { return Ok(UnderWay(None)) };
    let name = code.split("::").filter(|part| *part != "{{closure}}").last().unwrap_or(code);
    if gate.pass(database, name, Way::In).await == Decision::Fail {
        let error = std::io::Error::other("the gate is shut");
        return Err(StoreError::Unreachable(sqlx::Error::Io(error)));
    }
    gate.0.under_way.fetch_add(1, Ordering::SeqCst);
    Ok(UnderWay(Some((gate.clone(), database, name))))
}

impl UnderWay {
    /// Waits until the gate lets the answer out.
    pub(super) async fn leave<T>(self, answer: Result<T>) -> Result<T> {
        let Some((gate, database, name)) = self.0.clone() else { return answer };
        drop(self);
        match gate.pass(database, name, Way::Out).await {
            Decision::Pass => answer,
            Decision::Fail => Err(StoreError::Slow(7)),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some((gate, ..)) = &self.0 {
            gate.0.under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
