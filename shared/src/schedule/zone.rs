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
/// How far apart the moments are at which rules may replace earlier ones, in seconds, and how many of
/// them are tried.
const JOIN_STEP: i64 = 900;
const JOIN_TRIES: i64 = 400;

/// A time zone with its rules. Clones share them.
#[derive(Clone, Debug)]
pub struct Zone(Arc<Table>);

#[derive(Debug)]
struct Table {
    name: Box<str>,
    rules: TimeZone,
    /// In ascending order; never empty.
    spans: Box<[Span]>,
    /// The zone by earlier rules, and the second until which those held.
    earlier: Option<(i64, Zone)>,
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
        if let Some(around) = coinciding_changes(&spans) {
            return Err(format!("its clocks change twice around {around}"));
        }
        Ok(Zone(Arc::new(Table { name: name.into(), rules, spans, earlier: None })))
    }

    /// The zone by these rules until `until`, and by those of `later` from then on. If the two differ
    /// at that moment, local clocks jump, as at any other change: no local time is lost or repeated
    /// without the schedule's `gap` and `fold`.
    pub(super) fn followed_by(&self, later: &Zone, until: Time) -> Zone {
        let second = until.timestamp() + i64::from(until.timestamp_subsec_nanos() > 0);
        // Near another change, a local time could be affected by both. Then the rules change later.
        let mut joined = (0..JOIN_TRIES).map(|n| {
            let at = second + n * JOIN_STEP;
            (at, self.joined(later, at))
        });
        match joined.find(|(_, spans)| coinciding_changes(spans).is_none()) {
            Some((at, spans)) if *spans != *later.spans() => {
                let (name, rules) = (later.name().into(), later.0.rules.clone());
                Zone(Arc::new(Table { name, rules, spans, earlier: Some((at, self.clone())) }))
            }
            _ => later.clone(),
        }
    }

    fn joined(&self, later: &Zone, at: i64) -> Box<[Span]> {
        let before = self.spans().iter().filter(|span| span.begin < at).copied();
        let mut spans: Vec<Span> = before.collect();
        let offset = later.spans()[later.index(at)].offset;
        if spans.last().is_none_or(|last| last.offset != offset) {
            spans.push(Span { begin: at, offset });
        }
        spans.extend(later.spans().iter().filter(|span| span.begin > at).copied());
        spans.into_boxed_slice()
    }

    /// Coordinated universal time, whatever the rules.
    pub fn utc() -> Zone {
        static UTC: OnceLock<Zone> = OnceLock::new();
        let new = || {
            let spans = [Span { begin: i64::MIN, offset: 0 }];
            let (name, spans) = ("UTC".into(), spans.into());
            Zone(Arc::new(Table { name, rules: TimeZone::UTC, spans, earlier: None }))
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
        if let Some((until, earlier)) = &self.0.earlier
            && instant.timestamp() < *until
        {
            return earlier.abbreviation_at(instant);
        }
        let instant = Timestamp::from_second(instant.timestamp()).unwrap_or_default();
        self.0.rules.to_offset_info(instant).abbreviation().to_owned()
    }

    /// Local time minus UTC at an instant, in seconds.
    pub fn offset_at(&self, instant: Time) -> i64 {
        self.spans()[self.index(instant.timestamp())].offset
    }

    /// Whether its clocks go back at some time after 2025.
    pub(super) fn repeats_times(&self) -> bool {
        const RECENT: i64 = 1_767_225_600;
        let goes_back = |pair: &[Span]| pair[1].begin >= RECENT && pair[1].offset < pair[0].offset;
        self.spans().windows(2).any(goes_back)
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

/// The second of a change that comes so soon after another that a local time would be affected by
/// both; none if there is no such change.
fn coinciding_changes(spans: &[Span]) -> Option<i64> {
    let coincide = |three: &&[Span]| {
        let jumps = three.windows(2).map(|pair| (pair[1].offset - pair[0].offset).abs());
        three[2].begin - three[1].begin <= jumps.sum::<i64>()
    };
    spans.windows(3).find(coincide).map(|three| three[1].begin)
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

    /// A zone whose offset changes at these seconds.
    fn made_of(spans: &[(i64, i64)]) -> Zone {
        let spans: Vec<Span> =
            spans.iter().map(|&(begin, offset)| Span { begin, offset }).collect();
        let (name, spans) = ("Test/Zone".into(), spans.into());
        Zone(Arc::new(Table { name, rules: TimeZone::UTC, spans, earlier: None }))
    }

    #[test]
    fn later_rules_replace_earlier_ones_at_a_moment() {
        const HOUR: i64 = 3600;
        let at = |second| Time::from_timestamp(second, 0).unwrap();
        let earlier = made_of(&[(i64::MIN, -8 * HOUR), (1000 * HOUR, -7 * HOUR)]);
        let later = made_of(&[(i64::MIN, -7 * HOUR), (3000 * HOUR, -6 * HOUR)]);
        let begins = |zone: &Zone| -> Vec<(i64, i64)> {
            zone.spans().iter().map(|span| (span.begin, span.offset / HOUR)).collect()
        };
        // The offset changes with the rules.
        let joined = earlier.followed_by(&later, at(500 * HOUR));
        assert_eq!(begins(&joined), [(i64::MIN, -8), (500 * HOUR, -7), (3000 * HOUR, -6)]);
        // It is the same by both then.
        let joined = earlier.followed_by(&later, at(2000 * HOUR));
        assert_eq!(begins(&joined), [(i64::MIN, -8), (1000 * HOUR, -7), (3000 * HOUR, -6)]);
        // Not within an hour of another change.
        let joined = earlier.followed_by(&later, at(3000 * HOUR - 60));
        assert_eq!(begins(&joined), [(i64::MIN, -8), (1000 * HOUR, -7), (3000 * HOUR, -6)]);
        let apart = made_of(&[(i64::MIN, -5 * HOUR), (3000 * HOUR, -6 * HOUR)]);
        let joined = earlier.followed_by(&apart, at(3000 * HOUR - 60));
        assert_eq!(coinciding_changes(joined.spans()), None, "{:?}", joined.spans());
        assert_eq!(joined.offset_at(at(3000 * HOUR - 60)), -7 * HOUR);
        assert_eq!(joined.offset_at(at(4000 * HOUR)), -6 * HOUR);
        // They agree about everything.
        assert!(later.followed_by(&later, at(0)).0.earlier.is_none());
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
