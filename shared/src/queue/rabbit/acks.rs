//! Acknowledges deliveries, as many as possible with one frame: each frame costs the broker a command in
//! its queue's log. A frame with `multiple` acknowledges all deliveries before it as well, so it goes no
//! further than the oldest delivery that is still in use. Later deliveries get frames of their own, so
//! that a long execution does not delay them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use tracing::debug;

/// Acknowledges the deliveries of one channel.
pub(super) struct Acks {
    channel: Channel,
    tags: Mutex<Tags>,
}

impl Acks {
    pub(super) fn new(channel: Channel) -> Acks {
        Acks { channel, tags: Mutex::default() }
    }

    /// Acknowledges a delivery, together with those that are added before the tasks that are ready now
    /// have run: one write of results completes many executions at once.
    pub(super) fn add(self: &Arc<Self>, tag: u64) {
        let is_first = self.tags().add(tag);
        if is_first {
            let acks = self.clone();
            tokio::spawn(async move { acks.send() });
        }
    }

    /// Hands the frames to the connection without waiting until they are written: if one is lost, its
    /// messages come again and are refused by the claim.
    fn send(&self) {
        let frames = self.tags().take();
        for Frame { tag, multiple } in frames {
            let ack = self.channel.basic_ack(tag, BasicAckOptions { multiple });
            if let Some(Err(error)) = ack.now_or_never() {
                debug!("messages were not acknowledged: {error}");
            }
        }
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acknowledgement frame.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    tag: u64,
    /// Whether it acknowledges all earlier deliveries as well.
    multiple: bool,
}

/// Which deliveries are done with. The broker numbers them from 1 without gaps.
#[derive(Default)]
struct Tags {
    /// All deliveries up to this one have been acknowledged.
    through: u64,
    /// Later deliveries that have been acknowledged, as ranges from first to last. Single tags would
    /// accumulate behind an execution that runs for long; there are never more ranges than deliveries
    /// in use.
    beyond: BTreeMap<u64, u64>,
    /// Deliveries to be acknowledged.
    done: BTreeSet<u64>,
}

impl Tags {
    /// Adds a delivery. Returns whether it is the first to be acknowledged.
    fn add(&mut self, tag: u64) -> bool {
        let is_first = self.done.is_empty();
        self.done.insert(tag);
        is_first
    }

    /// The frames that acknowledge what was added.
    fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut last = None;
        loop {
            let next = self.through + 1;
            if self.done.remove(&next) {
                last = Some(next); // the broker refuses a tag that comes twice
                self.through = next;
            } else if let Some(end) = self.beyond.remove(&next) {
                self.through = end;
            } else {
                break;
            }
        }
        frames.extend(last.map(|tag| Frame { tag, multiple: true }));
        for tag in std::mem::take(&mut self.done) {
            self.extend_ranges(tag);
            frames.push(Frame { tag, multiple: false });
        }
        frames
    }

    /// Adds a tag to the ranges, and merges it with its neighbours.
    fn extend_ranges(&mut self, tag: u64) {
        let before = self.beyond.range(..tag).next_back();
        let first = before.filter(|(_, last)| **last + 1 == tag).map_or(tag, |(first, _)| *first);
        let last = self.beyond.remove(&(tag + 1)).unwrap_or(tag);
        self.beyond.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(tags: &mut Tags, done: &[u64]) -> Vec<(u64, bool)> {
        for (n, tag) in done.iter().enumerate() {
            assert_eq!(tags.add(*tag), n == 0);
        }
        tags.take().into_iter().map(|frame| (frame.tag, frame.multiple)).collect()
    }

    #[test]
    fn one_frame_acknowledges_all_up_to_the_oldest_in_use() {
        let mut tags = Tags::default();
        assert_eq!(frames(&mut tags, &[3, 1, 2]), [(3, true)]);
        assert_eq!(frames(&mut tags, &[5, 4, 8, 7]), [(5, true), (7, false), (8, false)]);
        assert_eq!(frames(&mut tags, &[10]), [(10, false)], "6 is still in use");
        assert_eq!(frames(&mut tags, &[6]), [(6, true)], "never a tag twice");
        assert_eq!(frames(&mut tags, &[9]), [(9, true)]);
        assert_eq!(frames(&mut tags, &[11, 12]), [(12, true)]);
        assert!(tags.beyond.is_empty());
        assert_eq!(frames(&mut tags, &[]), []);
    }

    #[test]
    fn a_delivery_that_is_in_use_for_ever_costs_no_memory() {
        let mut tags = Tags::default();
        for tag in (2..10_000).step_by(2) {
            assert_eq!(frames(&mut tags, &[tag + 1, tag]), [(tag, false), (tag + 1, false)]);
            assert_eq!(tags.beyond.len(), 1);
        }
        assert_eq!(frames(&mut tags, &[1]), [(1, true)]);
        assert_eq!((tags.through, tags.beyond.len()), (9_999, 0));
    }

    #[test]
    fn each_delivery_is_acknowledged_once_it_is_done_and_not_before() {
        let random = crate::random::Random::seeded(7);
        let (mut tags, mut done) = (Tags::default(), BTreeSet::new());
        let mut waiting: Vec<u64> = (1..=50).collect();
        for next in 51..2000 {
            let which = (random.unit() * waiting.len() as f64) as usize;
            let tag = std::mem::replace(&mut waiting[which], next);
            tags.add(tag);
            done.insert(tag);
            if random.unit() < 0.3 {
                for Frame { tag, multiple } in tags.take() {
                    let acknowledged = if multiple { ..=tag } else { ..=0 };
                    assert!(waiting.iter().all(|waiting| !acknowledged.contains(waiting)));
                    assert!(done.remove(&tag), "{tag} was not done, or came twice");
                    done.retain(|done| !acknowledged.contains(done));
                }
                assert!(done.is_empty());
            }
        }
    }
}
