//! How many bytes the items of one answer may have. Items are as large as tenants make them, and an
//! answer is in memory until its client has read it.

use std::io::{self, Write};

use serde::Serialize;

/// The most bytes of a page's items, unless a single one is larger.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many items that may be large are read from a database together.
pub(super) const BATCH: i64 = 25;

/// The items of one page.
pub(super) struct Budget<T> {
    pub(super) items: Vec<T>,
    bytes: usize,
}

/// How many of the added items the page took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    All,
    /// The page is full and ends before an item that did not fit.
    Partly,
}

impl<T: Serialize> Budget<T> {
    pub(super) fn new() -> Budget<T> {
        Budget { items: Vec::new(), bytes: 0 }
    }

    /// Adds items as long as they fit.
    pub(super) fn add(&mut self, items: impl IntoIterator<Item = T>) -> Fits {
        for item in items {
            let bytes = length(&item);
            if !self.items.is_empty() && self.bytes + bytes > BYTES_MAX {
                return Fits::Partly;
            }
            self.bytes += bytes;
            self.items.push(item);
        }
        Fits::All
    }

    /// How many more items a page of `limit` takes, at most [`BATCH`] together.
    pub(super) fn next_batch(&self, limit: i64) -> i64 {
        (limit - self.items.len() as i64).min(BATCH)
    }
}

/// The length of an item as JSON.
fn length(item: &impl Serialize) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written as JSON fails where the answer is written.
    let _ = serde_json::to_writer(&mut count, item);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_before_what_does_not_fit_and_holds_one_item_at_least() {
        let mut budget = Budget::new();
        assert_eq!(budget.add(["x".repeat(3 * BYTES_MAX)]), Fits::All);
        assert_eq!(budget.add(["y".to_owned()]), Fits::Partly);
        assert_eq!(budget.items.len(), 1);
        let mut budget = Budget::new();
        let half = "x".repeat(BYTES_MAX / 2 - 2);
        assert_eq!(budget.add([half.clone(), half.clone()]), Fits::All);
        assert_eq!(budget.add([half]), Fits::Partly);
        assert_eq!(
            (budget.items.len(), budget.next_batch(10), budget.next_batch(90)),
            (2, 8, BATCH)
        );
    }
}
