//! A gate that every statement passes, on its way to the database and again with its answer.
//!
//! Only for the simulation, which decides here when each move goes on, whether the database is
//! there, and whether its answer is heard. Programs are built without it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::error::{Result, StoreError};

/// The gate of one process. Clones are the same.
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

/// A move that waits at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Which arrival at this gate it is.
    pub number: u64,
    /// Which database of the process: they are numbered as they became known.
    pub database: u64,
    /// The store's method.
    pub name: &'static str,
    /// Whether it is on its way to the database, or back.
    pub way: Way,
}

/// On which side of the database a move waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing has been done yet. If it fails, the database cannot be reached.
    In,
    /// It is done, or was refused. If it fails, the caller doesn't learn which.
    Out,
}

/// What becomes of a move that waits at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It continues.
    Pass,
    /// It gets an error.
    Fail,
}

impl Gate {
    /// What waits, in the order of arrival.
    pub fn waiting(&self) -> Vec<Passage> {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.decision.is_closed());
        queue.waiting.iter().map(|waiting| waiting.passage).collect()
    }

    /// Lets a waiting move pass, or makes it fail.
    pub fn decide(&self, number: u64, decision: Decision) {
        let mut queue = self.queue();
        let at = queue.waiting.iter().position(|waiting| waiting.passage.number == number);
        if let Some(at) = at {
            let _ = queue.waiting.remove(at).decision.send(decision); // it may have been given up
        }
    }

    /// How many moves have been let in and haven't come to an answer yet.
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

/// A move that was let in.
pub(super) struct UnderWay(Option<(Gate, u64, &'static str)>);

/// Waits until the gate lets a move in. `code` is the path of some code in it.
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
