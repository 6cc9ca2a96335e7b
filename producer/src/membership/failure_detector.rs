//! Decides which producers are alive. Pure.
//!
//! A producer is dead once its row has not changed for a while. That is measured by this process's boot
//! time, because the database's clock may be set: by it, dead producers could stay alive, or all
//! could die at once.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::clock::{BootTime, Time};
use shared::store;

/// A producer whose row has not changed for this long is dead.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(10);

/// Remembers when each producer's row changed last.
#[derive(Default)]
pub(super) struct FailureDetector {
    /// Each producer's `seen_at`, and when that value was first read.
    changed: BTreeMap<String, (Time, BootTime)>,
}

impl FailureDetector {
    /// Takes the rows that were read at `now`, and returns those of live producers. A
    /// row that is new to this process counts as a change.
    pub(super) fn live(
        &mut self,
        rows: Vec<store::ProducerRow>,
        now: BootTime,
    ) -> Vec<store::ProducerRow> {
        let before = std::mem::take(&mut self.changed);
        for row in &rows {
            let since = match before.get(&row.name) {
                Some((seen_at, since)) if *seen_at == row.seen_at => *since,
                _ => now,
            };
            self.changed.insert(row.name.clone(), (row.seen_at, since));
        }
        let is_live = |row: &store::ProducerRow| {
            let changed = self.changed.get(&row.name);
            changed.is_some_and(|(_, since)| now - *since < DEAD_AFTER)
        };
        rows.into_iter().filter(is_live).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn noon() -> Time {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn producer(name: &str, seen_at: Time) -> store::ProducerRow {
        store::ProducerRow {
            name: name.into(),
            host: "h".into(),
            pid: 1,
            version: "0".into(),
            watched: 0,
            poll_seconds: 30,
            unreachable: Vec::new(),
            started_at: noon(),
            seen_at,
            zone_rules: None,
        }
    }

    #[test]
    fn a_silent_producer_dies_whatever_the_databases_clock_does() {
        let seconds = |n| BootTime::ZERO + Duration::from_secs(n);
        let mut detector = FailureDetector::default();
        let mut live = |a: i64, b: bool, now: u64| -> String {
            let mut rows = vec![producer("a", noon() + TimeDelta::seconds(a))];
            // The clock was set back: b's last `seen_at` is in the future, and stays.
            rows.extend(b.then(|| producer("b", noon() + TimeDelta::hours(1))));
            let live = detector.live(rows, seconds(now)).into_iter();
            live.map(|producer| producer.name).collect()
        };
        assert_eq!(live(0, true, 100), "ab");
        assert_eq!(live(9, true, 109), "ab");
        assert_eq!(live(12, true, 112), "a");
        assert_eq!(live(-60, true, 121), "a", "an earlier time is a change, too");
        assert_eq!(live(-60, true, 131), "");
        assert_eq!(live(-50, false, 132), "a", "it is back");
        assert_eq!(live(-50, true, 133), "ab", "a row that is new here counts as a change");
    }
}
