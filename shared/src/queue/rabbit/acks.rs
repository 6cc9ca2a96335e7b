//! Acknowledges deliveries, as many by one frame as may be: each frame costs the broker a command
//! in its queue's log. A frame for many speaks for all deliveries before it, so that it goes no
//! further than the oldest that is still being served; those behind have frames of their own, lest
//! an execution that takes long hold them up.

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

    /// Acknowledges a delivery, together with those that come before the tasks which are ready now
    /// have had their turn: one write of results lets many on at once.
    pub(super) fn add(self: &Arc<Self>, tag: u64) {
        let is_first = self.tags().add(tag);
        if is_first {
            let acks = self.clone();
            tokio::spawn(async move { acks.send() });
        }
    }

    /// Hands the frames to the connection and doesn't wait until they were written: if one gets
    /// lost, its messages come again and are refused by the claim.
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

/// One acknowledgement.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    tag: u64,
    /// It speaks for all before it, too.
    multiple: bool,
}

/// Which deliveries have served. The broker numbers them from 1 on, without holes.
#[derive(Default)]
struct Tags {
    /// All up to this one have been acknowledged.
    through: u64,
    /// Those behind it that have been, as runs: the first of each, and its last. While one execution
    /// takes for ever the others go on, and single tags would be kept without end; runs are never
    /// more than what is still being served.
    beyond: BTreeMap<u64, u64>,
    /// Those that are to be.
    served: BTreeSet<u64>,
}

impl Tags {
    /// True: nothing else is to be acknowledged yet.
    fn add(&mut self, tag: u64) -> bool {
        let is_first = self.served.is_empty();
        self.served.insert(tag);
        is_first
    }

    /// The frames that acknowledge what has served.
    fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut last = None;
        loop {
            let next = self.through + 1;
            if self.served.remove(&next) {
                last = Some(next); // the broker wants no tag twice
                self.through = next;
            } else if let Some(end) = self.beyond.remove(&next) {
                self.through = end;
            } else {
                break;
            }
        }
        frames.extend(last.map(|tag| Frame { tag, multiple: true }));
        for tag in std::mem::take(&mut self.served) {
            self.note_beyond(tag);
            frames.push(Frame { tag, multiple: false });
        }
        frames
    }

    /// Joins a tag to the runs beside it.
    fn note_beyond(&mut self, tag: u64) {
        let before = self.beyond.range(..tag).next_back();
        let first = before.filter(|(_, last)| **last + 1 == tag).map_or(tag, |(first, _)| *first);
        let last = self.beyond.remove(&(tag + 1)).unwrap_or(tag);
        self.beyond.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(tags: &mut Tags, served: &[u64]) -> Vec<(u64, bool)> {
        for (n, tag) in served.iter().enumerate() {
            assert_eq!(tags.add(*tag), n == 0);
        }
        tags.take().into_iter().map(|frame| (frame.tag, frame.multiple)).collect()
    }

    #[test]
    fn one_frame_speaks_for_all_up_to_the_oldest_that_is_still_served() {
        let mut tags = Tags::default();
        assert_eq!(frames(&mut tags, &[3, 1, 2]), [(3, true)]);
        assert_eq!(frames(&mut tags, &[5, 4, 8, 7]), [(5, true), (7, false), (8, false)]);
        assert_eq!(frames(&mut tags, &[10]), [(10, false)], "6 is still being served");
        assert_eq!(frames(&mut tags, &[6]), [(6, true)], "never a tag twice");
        assert_eq!(frames(&mut tags, &[9]), [(9, true)]);
        assert_eq!(frames(&mut tags, &[11, 12]), [(12, true)]);
        assert!(tags.beyond.is_empty());
        assert_eq!(frames(&mut tags, &[]), []);
    }

    #[test]
    fn one_that_is_served_for_ever_costs_no_memory() {
        let mut tags = Tags::default();
        for tag in (2..10_000).step_by(2) {
            assert_eq!(frames(&mut tags, &[tag + 1, tag]), [(tag, false), (tag + 1, false)]);
            assert_eq!(tags.beyond.len(), 1);
        }
        assert_eq!(frames(&mut tags, &[1]), [(1, true)]);
        assert_eq!((tags.through, tags.beyond.len()), (9_999, 0));
    }

    #[test]
    fn each_delivery_is_acknowledged_once_it_has_served_and_not_before() {
        let random = crate::random::Random::seeded(7);
        let (mut tags, mut served) = (Tags::default(), BTreeSet::new());
        let mut waiting: Vec<u64> = (1..=50).collect();
        for next in 51..2000 {
            let which = (random.unit() * waiting.len() as f64) as usize;
            let tag = std::mem::replace(&mut waiting[which], next);
            tags.add(tag);
            served.insert(tag);
            if random.unit() < 0.3 {
                for Frame { tag, multiple } in tags.take() {
                    let spoken_for = if multiple { ..=tag } else { ..=0 };
                    assert!(waiting.iter().all(|waiting| !spoken_for.contains(waiting)));
                    assert!(served.remove(&tag), "{tag} had not served, or twice");
                    served.retain(|served| !spoken_for.contains(served));
                }
                assert!(served.is_empty());
            }
        }
    }
}
