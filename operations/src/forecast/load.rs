//! The load to come: how many executions start in each minute, how many slots they hold, and how
//! many slots it takes to keep up. Worked out from schedules and past durations; pure.
//!
//! It does not include what cannot be known: manual runs, later edits, and jobs that begin to fail more
//! often. Nor does it include `max_running`, which delays work.

use std::cmp::Reverse;
use std::collections::HashMap;

use chrono::{DurationRound, TimeDelta};
use serde::Serialize;
use shared::clock::Time;
use shared::job::OverlapPolicy;
use shared::schedule::Schedule;

const MINUTE: f64 = 60.0;
/// How many jobs are named for a peak.
const MAKERS_MAX: usize = 3;

/// What determines the load of a job.
pub(super) struct Planned {
    /// The tenant's slug.
    pub(super) tenant: String,
    /// The job's name.
    pub(super) job: String,
    /// When it is due.
    pub(super) schedule: Schedule,
    /// What becomes of an occurrence while another is open.
    pub(super) overlap: OverlapPolicy,
    /// How long one occurrence holds a slot, in seconds.
    pub(super) seconds: f64,
}

/// The minutes of a forecast.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    from: Time,
    minutes: usize,
}

/// The load of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Minute {
    /// How many executions start.
    pub starts: u64,
    /// How many slots are held, averaged over the minute.
    pub slots: f64,
}

/// A minute with many starts, and the jobs that cause them.
#[derive(Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Which minute.
    pub at: Time,
    #[serde(flatten)]
    /// Its load.
    pub minute: Minute,
    /// The jobs with the most starts.
    pub by: Vec<Maker>,
}

/// A job and its share of a peak.
#[derive(Debug, PartialEq, Serialize)]
pub struct Maker {
    /// The tenant's slug.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// How often it starts in that minute.
    pub starts: u64,
}

impl Range {
    /// From the minute of `from` until `to`.
    pub fn new(from: Time, to: Time) -> Range {
        let from = from.duration_trunc(TimeDelta::minutes(1)).map_or(from, Time::nearest);
        let seconds = (to - from).num_seconds().max(0) as usize;
        Range { from, minutes: seconds.div_ceil(60) }
    }

    /// Where it begins.
    pub fn from(&self) -> Time {
        self.from
    }

    /// How many there are.
    pub fn minutes(&self) -> usize {
        self.minutes
    }

    /// When a minute begins, by its number from 0.
    pub fn at(&self, minute: usize) -> Time {
        self.from + TimeDelta::minutes(minute as i64)
    }

    /// Just before a minute begins.
    fn before(&self, minute: usize) -> Time {
        self.at(minute) - TimeDelta::microseconds(1)
    }

    /// The minutes in which a job starts, each with how many executions do.
    fn starts<'a>(&'a self, job: &'a Planned) -> impl Iterator<Item = (usize, u64)> + 'a {
        let Planned { schedule, overlap, seconds, .. } = job;
        let mut seen = self.before(0);
        std::iter::from_fn(move || {
            let next = schedule.next_after(seen)?;
            let minute = (next - self.from).num_minutes() as usize;
            let occurrences = schedule.count(seen, self.before(minute + 1));
            let (starts, minutes) = match overlap {
                OverlapPolicy::Allow => (occurrences, 1),
                // While one runs, others are skipped, or one waits for all.
                OverlapPolicy::Skip | OverlapPolicy::Queue => (
                    occurrences.min((MINUTE / seconds) as u64).max(1),
                    (seconds / MINUTE).ceil().max(1.0) as usize,
                ),
            };
            seen = self.before(minute.saturating_add(minutes).min(self.minutes));
            (minute < self.minutes).then_some((minute, starts))
        })
    }
}

/// The load of all jobs, minute by minute.
pub(super) fn load(range: &Range, jobs: &[Planned]) -> Vec<Minute> {
    let mut minutes = vec![Minute::default(); range.minutes];
    for job in jobs {
        for (minute, starts) in range.starts(job) {
            minutes[minute].starts += starts;
            hold(&mut minutes[minute..], starts as f64, job.seconds);
        }
    }
    minutes
}

/// Spreads the slots that some starts hold over the minutes that they last.
fn hold(minutes: &mut [Minute], starts: f64, mut seconds: f64) {
    for minute in minutes {
        if seconds <= 0.0 {
            return;
        }
        minute.slots += starts * seconds.min(MINUTE) / MINUTE;
        seconds -= MINUTE;
    }
}

/// The minutes with the most starts, at most `n`, and the jobs that start most in them.
pub(super) fn peaks(range: &Range, minutes: &[Minute], jobs: &[Planned], n: usize) -> Vec<Peak> {
    let mut order: Vec<usize> = (0..minutes.len()).filter(|&at| minutes[at].starts > 0).collect();
    order.sort_by_key(|&at| (Reverse(minutes[at].starts), at));
    order.truncate(n);
    let mut makers: HashMap<usize, Vec<(u64, &Planned)>> = HashMap::new();
    makers.extend(order.iter().map(|&minute| (minute, Vec::new())));
    for job in jobs {
        for (minute, starts) in range.starts(job) {
            if let Some(makers) = makers.get_mut(&minute) {
                makers.push((starts, job));
            }
        }
    }
    let peak = |minute| Peak {
        at: range.at(minute),
        minute: minutes[minute],
        by: most(makers.remove(&minute).unwrap_or_default()),
    };
    order.into_iter().map(peak).collect()
}

/// Of jobs with equally many starts, the slower comes first.
fn most(mut makers: Vec<(u64, &Planned)>) -> Vec<Maker> {
    makers.sort_by(|(more, long), (less, short)| {
        less.cmp(more).then(short.seconds.total_cmp(&long.seconds))
    });
    let makers = makers.into_iter().take(MAKERS_MAX);
    let makers = makers.map(|(starts, job)| Maker {
        tenant: job.tenant.clone(),
        job: job.job.clone(),
        starts,
    });
    makers.collect()
}

/// The fewest slots with which no work waits longer than `patience` seconds at the end of any
/// minute.
pub(super) fn slots_needed(minutes: &[Minute], patience: f64) -> u64 {
    let most = minutes.iter().map(|minute| minute.slots).fold(0.0, f64::max).ceil() as u64;
    let candidates: Vec<u64> = (0..=most).collect();
    candidates.partition_point(|slots| !keeps_up(minutes, *slots as f64, patience)) as u64
}

fn keeps_up(minutes: &[Minute], slots: f64, patience: f64) -> bool {
    let mut waiting = 0.0;
    minutes.iter().all(|minute| {
        waiting = f64::max(waiting + (minute.slots - slots) * MINUTE, 0.0);
        waiting <= patience * slots
    })
}

#[cfg(test)]
mod tests {
    use shared::id::{JobId, TenantId};
    use shared::schedule::Spread;
    use uuid::Uuid;

    use super::*;

    fn planned(job: &str, schedule: &str, overlap: OverlapPolicy, seconds: f64) -> Planned {
        let schedule = Schedule::read(schedule, Spread::new(TenantId(Uuid::nil()), JobId(1)));
        let (tenant, job) = ("acme".to_owned(), job.to_owned());
        Planned { tenant, job, schedule: schedule.unwrap(), overlap, seconds }
    }

    fn range(minutes: i64) -> Range {
        let from: Time = "2026-12-01T00:00:30Z".parse().unwrap();
        Range::new(from, from + TimeDelta::minutes(minutes) - TimeDelta::seconds(30))
    }

    fn starts(minutes: &[Minute]) -> Vec<u64> {
        minutes.iter().map(|minute| minute.starts).collect()
    }

    #[test]
    fn every_occurrence_is_counted_in_its_minute() {
        let jobs = [
            planned("each second", r#"{"every": "1s"}"#, OverlapPolicy::Allow, 0.5),
            planned("third minute", r#"{"cron": "3 * * * *"}"#, OverlapPolicy::Skip, 30.0),
            planned("once", r#"{"at": "2026-12-01T00:01:59Z"}"#, OverlapPolicy::Skip, 6.0),
            planned("past", r#"{"at": "2026-11-01T00:01:59Z"}"#, OverlapPolicy::Skip, 6.0),
        ];
        let minutes = load(&range(5), &jobs);
        assert_eq!(starts(&minutes), [60, 61, 60, 61, 60]);
        let slots: Vec<f64> = minutes.iter().map(|minute| minute.slots).collect();
        assert_eq!(slots, [0.5, 0.6, 0.5, 1.0, 0.5]);
    }

    #[test]
    fn a_long_run_holds_its_slot_and_displaces_its_own_next_runs() {
        let schedule = r#"{"cron": "* * * * *"}"#;
        let one_by_one = load(&range(6), &[planned("a", schedule, OverlapPolicy::Skip, 150.0)]);
        assert_eq!(starts(&one_by_one), [1, 0, 0, 1, 0, 0]);
        let beside = load(&range(4), &[planned("a", schedule, OverlapPolicy::Allow, 150.0)]);
        assert_eq!(starts(&beside), [1; 4]);
        let slots: Vec<f64> = beside.iter().map(|minute| minute.slots).collect();
        assert_eq!(slots, [1.0, 2.0, 2.5, 2.5]);
    }

    #[test]
    fn peaks_name_the_jobs_that_cause_them() {
        let jobs = [
            planned("nightly", r#"{"cron": "2 0 * * *"}"#, OverlapPolicy::Skip, 1.0),
            planned("often", r#"{"every": "20s"}"#, OverlapPolicy::Skip, 1.0),
        ];
        let range = range(4);
        let peaks = peaks(&range, &load(&range, &jobs), &jobs, 2);
        assert_eq!(peaks.iter().map(|peak| peak.minute.starts).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(peaks[0].at, range.at(2));
        let by: Vec<_> = peaks[0].by.iter().map(|by| (by.job.as_str(), by.starts)).collect();
        assert_eq!(by, [("often", 3), ("nightly", 1)]);
    }

    #[test]
    fn the_number_of_slots_is_the_smallest_that_suffices() {
        let minute = |slots| Minute { starts: 1, slots };
        let load = [minute(1.0), minute(10.0), minute(1.0), minute(1.0)];
        assert_eq!(slots_needed(&load, 0.0), 10, "nothing may wait");
        // Six slots leave four minutes of work waiting, which is 40 s for each of them.
        assert_eq!(slots_needed(&load, 40.0), 6);
        assert_eq!(slots_needed(&load, 39.0), 7);
        assert_eq!(slots_needed(&[minute(0.0)], 60.0), 0);
    }
}
