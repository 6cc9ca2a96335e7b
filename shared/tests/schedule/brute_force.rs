//! Compares schedules with a search that tests every instant. The search uses neither spans nor
//! candidates, and it parses no expressions: random cases come with their meaning.

use chrono::{MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone};
use shared::clock::Time;

use super::cases::{Draw, Expression};
use super::tz::Tz;

/// One schedule, with everything that the search needs.
struct Case {
    expression: Expression,
    zone: Tz,
    gap: &'static str,
    fold: &'static str,
}

impl Case {
    /// A random case, and an instant to search from.
    fn draw(draw: &Draw) -> (Case, Time) {
        let zone = draw.zone();
        let (instant, hour) = draw.instant(zone);
        let case = Case {
            expression: draw.expression(true, hour),
            zone,
            gap: draw.of(&["first", "skip"]),
            fold: draw.of(&["first", "second", "both"]),
        };
        (case, instant)
    }

    fn json(&self) -> String {
        let (text, zone) = (self.expression.text(), self.zone.name());
        let Case { gap, fold, .. } = self;
        format!(r#"{{"cron":"{text}","timezone":"{zone}","gap":"{gap}","fold":"{fold}"}}"#)
    }

    /// Every occurrence in `from..until`, testing each step.
    fn search(&self, from: Time, until: Time, step: TimeDelta) -> Vec<Time> {
        let times = std::iter::successors(Some(from), |time| Some(*time + step));
        times.take_while(|time| *time < until).filter(|time| self.occurs(*time, step)).collect()
    }

    fn occurs(&self, at: Time, step: TimeDelta) -> bool {
        let local = at.with_timezone(&self.zone).naive_local();
        if self.expression.follows_elapsed_time() {
            return self.expression.matches(local);
        }
        self.expression.matches(local) && self.is_right_pass(at, local)
            || self.gap == "first" && self.was_skipped_just_before(at, local, step)
    }

    fn is_right_pass(&self, at: Time, local: NaiveDateTime) -> bool {
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Ambiguous(first, second) => match self.fold {
                "first" => *at == first,
                "second" => *at == second,
                _ => true,
            },
            _ => true,
        }
    }

    fn was_skipped_just_before(&self, at: Time, local: NaiveDateTime, step: TimeDelta) -> bool {
        let before = (at - step).with_timezone(&self.zone).naive_local();
        let skipped = std::iter::successors(Some(before + step), |time| Some(*time + step));
        skipped.take_while(|time| *time < local).any(|time| self.expression.matches(time))
    }
}

/// Checks one case in the window of `steps` steps after `from`.
#[track_caller]
fn check(case: &Case, from: Time, steps: i32, step: TimeDelta, draw: &Draw) {
    let until = from + step * steps;
    let expected = case.search(from, until, step);
    let json = case.json();
    let Ok(schedule) = super::try_read(&json) else {
        assert!(expected.is_empty(), "{json} is rejected, but occurs at {expected:?}");
        return;
    };
    let tick = TimeDelta::microseconds(1);
    let following = |before: &Time| schedule.next_after(*before);
    let forwards: Vec<Time> = std::iter::successors(schedule.next_after(from - tick), following)
        .take_while(|time| *time < until)
        .collect();
    assert_eq!(forwards, expected, "{json} from {from} to {until}");
    let preceding = |after: &Time| schedule.prev_before(*after);
    let mut backwards: Vec<Time> = std::iter::successors(schedule.prev_before(until), preceding)
        .take_while(|time| *time >= from)
        .collect();
    backwards.reverse();
    assert_eq!(backwards, expected, "{json} backwards from {until} to {from}");
    // At any instant, the counts before and after it add up, and its neighbours are found.
    for _ in 0..5 {
        let middle = from + step * draw.below(steps as u32) as i32 + tick * draw.below(3) as i32;
        let before = expected.partition_point(|time| *time <= middle);
        assert_eq!(schedule.count(from - tick, middle), before as u64, "{json} until {middle}");
        let after = (expected.len() - before) as u64;
        assert_eq!(schedule.count(middle, until - tick), after, "{json} after {middle}");
        let next = schedule.next_after(middle).filter(|next| *next < until);
        assert_eq!(next, expected.get(before).copied(), "{json} after {middle}");
        let prev = expected[..before].last().copied();
        assert_eq!(schedule.latest(from - tick, middle), prev, "{json} latest by {middle}");
    }
}

#[test]
fn a_search_by_minutes_finds_the_same_occurrences() {
    let draw = Draw::seeded(1);
    for _ in 0..super::scaled(600) {
        let (mut case, from) = Case::draw(&draw);
        case.expression.second = None;
        // In 1972 some zones' offsets had seconds, which a search by minutes would miss.
        if from.timestamp() > 100_000_000 {
            check(&case, from, 2880, TimeDelta::minutes(1), &draw);
        }
    }
}

#[test]
fn a_search_by_seconds_finds_the_same_occurrences() {
    let draw = Draw::seeded(2);
    for _ in 0..super::scaled(100) {
        let (case, from) = Case::draw(&draw);
        check(&case, from, 14_400, TimeDelta::seconds(1), &draw);
    }
}

#[test]
fn a_search_by_hours_finds_the_same_days() {
    // Days, months, weekdays, L, W and #. All occurrences are at midnight UTC, so steps of an hour
    // suffice.
    let draw = Draw::seeded(3);
    for _ in 0..super::scaled(200) {
        let expression = draw.expression(true, None);
        let field =
            |text: &str| super::cases::Field { text: text.into(), values: vec![0], star: false };
        let expression =
            Expression { second: None, minute: field("0"), hour: field("0"), ..expression };
        let case = Case { expression, zone: Tz::named("UTC"), gap: "first", fold: "first" };
        let from = draw
            .instant(Tz::named("UTC"))
            .0
            .date_naive()
            .and_time(chrono::NaiveTime::MIN)
            .and_utc();
        check(&case, from.try_into().unwrap(), 24 * 800, TimeDelta::hours(1), &draw);
    }
}
