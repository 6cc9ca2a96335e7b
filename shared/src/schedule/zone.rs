//! Time zones as spans of constant offset, from 1970 to the end of 2100.
//!
//! `chrono-tz` gives the offset at an instant, but handling clock changes also requires the times of
//! the previous and the next change. The table of a zone is computed once per process, on first use.

use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

/// 1970-01-01T00:00:00Z, in seconds since the epoch. Schedules have no earlier occurrences.
pub(super) const FIRST: i64 = 0;
/// 2101-01-01T00:00:00Z. Schedules have no occurrence at or after it; the `cron` crate ends there,
/// too.
pub(super) const END: i64 = 4_133_980_800;

const DAY: i64 = 86_400;
/// The shortest span lasts a week less an hour (Recife in 2000). Steps shorter than half of that
/// miss no change.
const STEP: i64 = 3 * DAY;

/// A period of constant offset. It lasts until the next span begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first second, since the epoch; `i64::MIN` for the first span.
    pub begin: i64,
    /// Local time minus UTC, in seconds.
    pub offset: i64,
}

/// The spans of `zone` in ascending order; never empty.
pub(super) fn spans(zone: Tz) -> &'static [Span] {
    static TABLES: [OnceLock<Box<[Span]>>; TZ_VARIANTS.len()] =
        [const { OnceLock::new() }; TZ_VARIANTS.len()];
    TABLES[zone as usize].get_or_init(|| read_spans(zone, STEP))
}

/// The index of the span that contains `instant`.
pub(super) fn index(spans: &[Span], instant: i64) -> usize {
    spans.partition_point(|span| span.begin <= instant).saturating_sub(1)
}

/// Finds all changes, checking the offset every `step` seconds.
fn read_spans(zone: Tz, step: i64) -> Box<[Span]> {
    let mut known = FIRST - 2 * DAY;
    let mut spans = vec![Span { begin: i64::MIN, offset: offset(zone, known) }];
    while known < END + 2 * DAY {
        let next = known + step;
        let last = spans[spans.len() - 1].offset;
        if offset(zone, next) != last {
            let begin = change(zone, known, next);
            spans.push(Span { begin, offset: offset(zone, begin) });
            known = begin;
        } else {
            known = next;
        }
    }
    spans.into_boxed_slice()
}

/// The first second in `(same, other]` whose offset differs from that of `same` (binary search).
fn change(zone: Tz, mut same: i64, mut other: i64) -> i64 {
    let before = offset(zone, same);
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if offset(zone, middle) == before {
            same = middle;
        } else {
            other = middle;
        }
    }
    other
}

fn offset(zone: Tz, instant: i64) -> i64 {
    let utc = DateTime::from_timestamp(instant, 0).unwrap_or_default().naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_where_the_offset_changes() {
        let spans = spans(Tz::America__New_York);
        let march = spans[index(spans, 1_772_953_200)];
        assert_eq!(march, Span { begin: 1_772_953_200, offset: -4 * 3600 });
        assert_eq!(spans[index(spans, 1_772_953_199)].offset, -5 * 3600);
        assert_eq!(index(spans, i64::MIN), 0);
        assert_eq!(index(spans, i64::MAX), spans.len() - 1);
    }

    #[test]
    fn smaller_steps_find_no_other_changes() {
        let shortest = [Tz::America__Recife, Tz::Asia__Gaza, Tz::Africa__Casablanca];
        for zone in TZ_VARIANTS.iter().step_by(40).chain(&shortest) {
            assert_eq!(*spans(*zone), *read_spans(*zone, DAY), "{zone}");
        }
    }

    #[test]
    fn changes_are_far_apart() {
        // `cron` relies on at most one change skipping or repeating a local time.
        for zone in TZ_VARIANTS.iter().step_by(7) {
            let spans = spans(*zone);
            for three in spans.windows(3) {
                let jumps = three.windows(2).map(|pair| (pair[1].offset - pair[0].offset).abs());
                let length = three[2].begin - three[1].begin;
                assert!(length > jumps.sum::<i64>() && length > 2 * STEP, "{zone}: {three:?}");
            }
        }
    }
}
