//! A bit set of small numbers: the values of a cron field.

/// Numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    /// All numbers from `first` to `last`; empty if `last` is less.
    pub(super) fn range(first: u32, last: u32) -> Set {
        Set::stepped(first, last, 1)
    }

    /// `first` and every `step`-th number after it, up to `last`.
    pub(super) fn stepped(first: u32, last: u32, step: u32) -> Set {
        let mut set = Set::default();
        (first..=last).step_by(step.max(1) as usize).for_each(|value| set.add(value));
        set
    }

    pub(super) fn add(&mut self, value: u32) {
        self.0 |= 1 << value;
    }

    pub(super) fn has(self, value: u32) -> bool {
        self.0 >> value & 1 == 1
    }

    pub(super) fn union(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub(super) fn intersection(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// How many numbers are less than `value`.
    pub(super) fn count_below(self, value: u32) -> u32 {
        (self.0 & ((1 << value) - 1)).count_ones()
    }

    /// The numbers in ascending order.
    pub(super) fn values(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |value| self.has(*value))
    }
}
