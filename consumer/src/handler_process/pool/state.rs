//! What a pool knows: its processes, their places, and who waits for one.

use std::collections::{BTreeMap, BTreeSet};

use shared::clock::BootTime;
use shared::id::TenantId;
use tokio::sync::mpsc;

use super::ProcessNumber;
use crate::handler_process::restarts::Restarts;
use crate::handler_process::run::Request;
use crate::handler_process::waiting_queue::WaitingQueue;

#[derive(Default)]
pub(super) struct State {
    pub(super) processes: BTreeMap<ProcessNumber, Entry>,
    pub(super) waiting: WaitingQueue,
    last_number: ProcessNumber,
    /// The types that the command offers; none before the first hello.
    pub(super) types: Option<BTreeSet<String>>,
    pub(super) restarts: Restarts,
    /// The end of what the last process that died wrote outside of executions.
    pub(super) last_output: String,
    /// Incremented by a reload. Processes of earlier generations run old code.
    pub(super) generation: u32,
    pub(super) ending: bool,
}

/// A process.
pub(super) struct Entry {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    generation: u32,
    pub(super) started_at: BootTime,
    /// What its hello offered; none before the hello.
    pub(super) offer: Option<Offer>,
    /// Whether it starts no more executions. A replacement may start before it exits.
    pub(super) retired: bool,
    /// Whether it starts no more executions and is about to exit. A replacement starts after that.
    pub(super) exiting: bool,
    /// How many of its places are taken.
    pub(super) taken: usize,
    /// The tenant whose execution took a place last, while any place is taken.
    tenant: Option<TenantId>,
    pub(super) silent: bool,
}

/// What a process offers.
pub(super) struct Offer {
    pub(super) types: BTreeSet<String>,
    /// How many executions it runs concurrently.
    pub(super) concurrency: usize,
}

impl State {
    /// Whether another process is needed, of which there may be `most`.
    pub(super) fn is_process_needed(&self, most: usize) -> bool {
        let current = |entry: &&Entry| entry.generation == self.generation && !entry.retired;
        let usable = self.processes.values().filter(current).count();
        let is_starting = |entry: &&Entry| current(entry) && entry.offer.is_none();
        let starting = self.processes.values().filter(is_starting).count();
        let all = self.processes.len();
        match usable {
            // While the other processes only finish their executions, one new process may exceed the limit.
            0 => all <= most,
            _ => self.waiting.len() > starting && all < most,
        }
    }

    /// Adds a process that is about to start.
    pub(super) fn add(
        &mut self,
        started_at: BootTime,
    ) -> (ProcessNumber, mpsc::UnboundedReceiver<Request>) {
        self.last_number += 1;
        let (requests, received) = mpsc::unbounded_channel();
        let entry = Entry {
            requests,
            generation: self.generation,
            started_at,
            offer: None,
            retired: false,
            exiting: false,
            taken: 0,
            tenant: None,
            silent: false,
        };
        self.processes.insert(self.last_number, entry);
        (self.last_number, received)
    }

    /// Records what a process offers. Processes that run older code retire.
    pub(super) fn offer(&mut self, number: ProcessNumber, offer: Offer) {
        let Some(entry) = self.processes.get_mut(&number) else { return };
        entry.offer = Some(offer);
        let generation = entry.generation;
        for old in self.processes.values_mut().filter(|entry| entry.generation < generation) {
            old.retired = true;
            let _ = old.requests.send(Request::Retire); // it may have exited
        }
    }

    /// Takes a place in a process, of those that fit the one with the most places taken. Executions of
    /// different tenants share a process only if `share_tenants`.
    pub(super) fn take_place(
        &mut self,
        tenant: TenantId,
        job_type: Option<&String>,
        share_tenants: bool,
    ) -> Option<(ProcessNumber, mpsc::UnboundedSender<Request>)> {
        let fits = |entry: &Entry| {
            entry.starts_executions()
                && entry.offer.as_ref().is_some_and(|offer| {
                    let has = |job_type| offer.types.contains(job_type);
                    entry.taken < offer.concurrency && job_type.is_none_or(has)
                })
                && (share_tenants || entry.tenant.is_none_or(|other| other == tenant))
        };
        let fitting = self.processes.iter_mut().filter(|(_, entry)| fits(entry));
        let (number, entry) = fitting.max_by_key(|(_, entry)| entry.taken)?;
        entry.taken += 1;
        entry.tenant = Some(tenant);
        Some((*number, entry.requests.clone()))
    }

    /// Frees a place.
    pub(super) fn release(&mut self, number: ProcessNumber) {
        if let Some(entry) = self.processes.get_mut(&number) {
            entry.taken = entry.taken.saturating_sub(1);
            if entry.taken == 0 {
                entry.tenant = None;
            }
        }
    }

    /// Whether all processes that may start executions offer the same types.
    pub(super) fn offers_are_alike(&self) -> bool {
        let usable = self.processes.values().filter(|entry| entry.starts_executions());
        let mut offers = usable.filter_map(|entry| Some(&entry.offer.as_ref()?.types));
        let Some(first) = offers.next() else { return true };
        offers.all(|types| types == first)
    }

    /// The types that other processes of this generation or a later one offer.
    pub(super) fn offered_by_others(&self, number: ProcessNumber) -> BTreeSet<String> {
        let generation = self.processes.get(&number).map_or(0, |entry| entry.generation);
        let others = self.processes.iter().filter(|(other, entry)| {
            **other != number && !entry.retired && entry.generation >= generation
        });
        let offers = others.filter_map(|(_, entry)| entry.offer.as_ref());
        offers.flat_map(|offer| offer.types.iter().cloned()).collect()
    }
}

impl Entry {
    pub(super) fn starts_executions(&self) -> bool {
        !self.retired && !self.exiting
    }
}
