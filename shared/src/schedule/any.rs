//! Several schedules in one: the union of their occurrences.

use super::cron::Change;
use super::error::ScheduleError;
use super::json::Fields;
use super::spread::Spread;
use super::zone::Zone;
use super::{COUNT_MAX, Schedule, dialect};

/// The union of several schedules. An instant that several of them name is one occurrence. Times
/// are microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct AnyRule {
    pub members: Vec<Schedule>,
    /// The zone in which times are shown: its own, or that of all members, or else UTC.
    pub zone: Zone,
}

impl AnyRule {
    pub(super) fn read(fields: &Fields, spread: Spread) -> Result<AnyRule, ScheduleError> {
        let read = |(index, member): (usize, &Fields)| {
            let read = Schedule::of(member, spread);
            let explained = read.map_err(|error| dialect::explain(&member.to_json(), error));
            explained.map_err(|error| error.within(index))
        };
        let members = fields.members().iter().enumerate().map(read);
        let members = members.collect::<Result<Vec<Schedule>, ScheduleError>>()?;
        let zone = fields.zone("timezone")?.unwrap_or_else(|| common_zone(&members));
        Ok(AnyRule { members, zone })
    }

    /// The first occurrence after `after`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        self.members.iter().filter_map(|member| member.next(after)).min()
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        self.members.iter().filter_map(|member| member.prev(before)).max()
    }

    /// How many occurrences are later than `after` and not later than `until`, at most
    /// [`COUNT_MAX`].
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        let following = |member: &Schedule, time| member.next(time).filter(|next| *next <= until);
        let mut next: Vec<(&Schedule, i64)> = self
            .members
            .iter()
            .filter_map(|member| Some((member, following(member, after)?)))
            .collect();
        let mut count = 0;
        while count < COUNT_MAX
            && let Some(first) = next.iter().map(|(_, time)| *time).min()
        {
            count += 1;
            next.retain_mut(|(member, time)| {
                if *time > first {
                    return true;
                }
                let after = following(member, first);
                *time = after.unwrap_or_default();
                after.is_some()
            });
        }
        count
    }

    /// The shortest time between two occurrences of one member, in seconds, ignoring clock changes;
    /// none if it is longer than `limit`.
    pub(super) fn period_within(&self, limit: i64) -> Option<i64> {
        self.members.iter().filter_map(|member| member.rule.period_within(limit)).min()
    }

    /// How a clock change affected the occurrence at `instant`.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        let named = self.members.iter().filter(|member| member.next(instant - 1) == Some(instant));
        named.filter_map(|member| member.rule.clock_change(instant - member.delay)).next()
    }
}

/// The zone of all members; UTC if they differ.
fn common_zone(members: &[Schedule]) -> Zone {
    let mut zones = members.iter().map(|member| member.rule.zone());
    match zones.next() {
        Some(first) if zones.all(|zone| zone == first) => first.clone(),
        _ => Zone::utc(),
    }
}
