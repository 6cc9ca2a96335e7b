//! Time zones as spans of constant offset, from 1970 to the end of 2100.
//!
//! Handling clock changes requires the times of the previous and the next change, not only the
//! offset at an instant. So a zone's changes are listed once, when it is first used.

use std::sync::{Arc, OnceLock};

use chrono::NaiveDateTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::Time;

/// 1970-01-01T00:00:00Z, in seconds since the epoch. Schedules have no earlier occurrences.
pub(super) const FIRST: i64 = 0;
/// 2101-01-01T00:00:00Z. Schedules have no occurrence at or after it; the `cron` crate ends there,
/// too.
pub(super) const END: i64 = 4_133_980_800;

const DAY: i64 = 86_400;

/// A time zone with its rules. Clones share them.
#[derive(Clone, Debug)]
pub struct Zone(Arc<Table>);

#[derive(Debug)]
struct Table {
    name: Box<str>,
    rules: TimeZone,
    /// In ascending order; never empty.
    spans: Box<[Span]>,
}

/// A period of constant offset. It lasts until the next span begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first second, since the epoch; `i64::MIN` for the first span.
    pub begin: i64,
    /// Local time minus UTC, in seconds.
    pub offset: i64,
}

impl Zone {
    /// The zone of a TZif file (RFC 9636).
    ///
    /// # Errors
    ///
    /// If the file is invalid, or its clock changes follow each other so closely that a local time
    /// would be affected by two of them.
    pub(super) fn read(name: &str, tzif: &[u8]) -> Result<Zone, String> {
        let rules = TimeZone::tzif(name, tzif).map_err(|error| error.to_string())?;
        let spans = spans(&rules);
        for three in spans.windows(3) {
            let jumps = three.windows(2).map(|pair| (pair[1].offset - pair[0].offset).abs());
            if three[2].begin - three[1].begin <= jumps.sum::<i64>() {
                return Err(format!("its clocks change twice around {}", three[1].begin));
            }
        }
        Ok(Zone(Arc::new(Table { name: name.into(), rules, spans })))
    }

    /// Coordinated universal time, whatever the rules.
    pub fn utc() -> Zone {
        static UTC: OnceLock<Zone> = OnceLock::new();
        let new = || {
            let spans = [Span { begin: i64::MIN, offset: 0 }];
            Zone(Arc::new(Table { name: "UTC".into(), rules: TimeZone::UTC, spans: spans.into() }))
        };
        UTC.get_or_init(new).clone()
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The instants at which local clocks show `local`, in ascending order: none if a clock change
    /// skips it, two if one repeats it.
    pub fn instants_of(&self, local: NaiveDateTime) -> Vec<Time> {
        let seconds = local.and_utc().timestamp();
        let nearby = self.index(seconds - 2 * DAY)..=self.index(seconds + 2 * DAY);
        let instants = nearby.filter_map(|index| {
            let Span { begin, offset } = self.spans()[index];
            let end = self.spans().get(index + 1).map_or(i64::MAX, |next| next.begin);
            let instant = local.and_utc().timestamp_micros() - offset * 1_000_000;
            let is_within = (begin..end).contains(&instant.div_euclid(1_000_000));
            Time::from_timestamp_micros(instant).filter(|_| is_within)
        });
        instants.collect()
    }

    /// The instant at which local clocks show `local`: the first one if they repeat it, and the first
    /// one after the gap if they skip it.
    pub(super) fn instant_of(&self, local: NaiveDateTime) -> Option<Time> {
        let first = self.instants_of(local).first().copied();
        first.or_else(|| self.instant_after_gap(local))
    }

    /// The first instant after the clock change that skips `local`; none if no change does.
    pub fn instant_after_gap(&self, local: NaiveDateTime) -> Option<Time> {
        let seconds = local.and_utc().timestamp();
        let change = self.spans().windows(2).find(|pair| {
            let begin = pair[1].begin;
            (begin + pair[0].offset..begin + pair[1].offset).contains(&seconds)
        })?;
        Time::from_timestamp(change[1].begin, 0)
    }

    /// What people call the zone's time at an instant, such as `CEST`.
    pub fn abbreviation_at(&self, instant: Time) -> String {
        let instant = Timestamp::from_second(instant.timestamp()).unwrap_or_default();
        self.0.rules.to_offset_info(instant).abbreviation().to_owned()
    }

    /// Local time minus UTC at an instant, in seconds.
    pub fn offset_at(&self, instant: Time) -> i64 {
        self.spans()[self.index(instant.timestamp())].offset
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.0.spans
    }

    /// The index of the span that contains `instant`.
    pub(super) fn index(&self, instant: i64) -> usize {
        self.spans().partition_point(|span| span.begin <= instant).saturating_sub(1)
    }
}

impl PartialEq for Zone {
    /// Whether name and rules are the same.
    fn eq(&self, other: &Zone) -> bool {
        self.name() == other.name() && self.spans() == other.spans()
    }
}

/// All changes of offset.
fn spans(rules: &TimeZone) -> Box<[Span]> {
    let first = Timestamp::from_second(FIRST - 2 * DAY).unwrap_or_default();
    let mut last = i64::from(rules.to_offset(first).seconds());
    let mut spans = vec![Span { begin: i64::MIN, offset: last }];
    for change in rules.following(first) {
        let (begin, offset) = (change.timestamp().as_second(), change.offset().seconds().into());
        if begin >= END + 2 * DAY {
            break;
        }
        // Ignore changes of the abbreviation only.
        if offset != last {
            spans.push(Span { begin, offset });
            last = offset;
        }
    }
    spans.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::super::zone_rules::ZoneRules;
    use super::*;

    fn zone(name: &str) -> Zone {
        ZoneRules::built_in().find(name).unwrap()
    }

    #[test]
    fn spans_are_where_the_offset_changes() {
        let zone = zone("America/New_York");
        let march = zone.spans()[zone.index(1_772_953_200)];
        assert_eq!(march, Span { begin: 1_772_953_200, offset: -4 * 3600 });
        assert_eq!(zone.spans()[zone.index(1_772_953_199)].offset, -5 * 3600);
        assert_eq!(zone.index(i64::MIN), 0);
        assert_eq!(zone.index(i64::MAX), zone.spans().len() - 1);
    }

    #[test]
    fn every_built_in_zone_is_one_that_cron_can_use() {
        // `cron` relies on at most one change skipping or repeating a local time.
        let rules = ZoneRules::built_in();
        assert!(rules.names().count() > 590);
        for name in rules.names() {
            assert!(rules.find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_local_time_has_no_instant_one_or_two() {
        let zone = zone("America/New_York");
        for (local, expected) in [
            ("2026-03-08T02:30:00", &[][..]),
            ("2026-03-08T03:00:00", &["2026-03-08T07:00:00Z"]),
            ("2026-11-01T01:30:00", &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]),
            ("2026-12-01T09:00:00.5", &["2026-12-01T14:00:00.5Z"]),
        ] {
            let local: NaiveDateTime = local.parse().unwrap();
            let expected: Vec<Time> = expected.iter().map(|time| time.parse().unwrap()).collect();
            assert_eq!(zone.instants_of(local), expected, "{local}");
            let after_gap = zone.instant_after_gap(local);
            assert_eq!(after_gap.is_some(), expected.is_empty(), "{local}");
        }
        let gap = "2026-03-08T02:30:00".parse().unwrap();
        assert_eq!(zone.instant_after_gap(gap), "2026-03-08T07:00:00Z".parse().ok());
    }
}
