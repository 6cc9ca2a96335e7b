//! Compares schedules with other implementations of cron: `croner`, and a table of answers by
//! `cronsim`.
//!
//! They differ from us in some points on purpose and in others by mistake. One of the rules below
//! must explain each difference, and the test verifies the explanation: our evaluation under their
//! rule must give their answer, or their answer must be evidently wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::TimeDelta;
use shared::clock::Time;

use super::cases::{Draw, next_change};
use super::tz::Tz;
use super::{scaled, try_read};

/// One question: what is the first occurrence of `expression` in `zone` after `instant`?
#[derive(Debug)]
struct Triple {
    expression: String,
    zone: Tz,
    instant: Time,
}

impl Triple {
    /// A random question, and whether its instant is within a day of a clock change.
    fn draw(draw: &Draw) -> (Triple, bool) {
        let zone = draw.zone();
        let (instant, hour) = draw.instant(zone);
        let expression = draw.expression(true, hour).text();
        (Triple { expression, zone, instant }, hour.is_some())
    }

    /// Our answer, for this expression and these options.
    fn answer(&self, expression: &str, options: &str) -> Option<Time> {
        let zone = self.zone.name();
        let json = format!(r#"{{"cron":"{expression}","timezone":"{zone}"{options}}}"#);
        try_read(&json).ok()?.next_after(self.instant)
    }

    fn fields(&self) -> Vec<&str> {
        self.expression.split(' ').collect()
    }

    fn has_seconds(&self) -> bool {
        self.fields().len() == 6
    }

    /// The minute and hour fields.
    fn minute_and_hour(&self) -> [&str; 2] {
        let fields = self.fields();
        let minute = usize::from(self.has_seconds());
        [fields[minute], fields[minute + 1]]
    }

    /// Whether clocks change within a day of `time`.
    fn is_near_change(&self, time: Time) -> bool {
        let day = TimeDelta::days(1);
        next_change(self.zone, time - day).is_some_and(|change| change <= time + day)
    }
}

const ELAPSED: &str = r#","gap":"skip","fold":"both""#;
const SKIP: &str = r#","gap":"skip""#;

/// Why two answers differ, how often, and an example.
#[derive(Default)]
struct Tally {
    equal: u32,
    explained: BTreeMap<&'static str, (u32, String)>,
    unexplained: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        triple: &Triple,
        theirs: Result<Time, &str>,
        explain: impl Fn(&Triple, Option<Time>, Result<Time, &str>) -> Option<&'static str>,
    ) {
        let ours = triple.answer(&triple.expression, "");
        if ours == theirs.ok() {
            self.equal += 1;
            return;
        }
        let example = format!("{triple:?}: ours {ours:?}, theirs {theirs:?}");
        match explain(triple, ours, theirs) {
            Some(rule) => self.explained.entry(rule).or_insert((0, example)).0 += 1,
            None => self.unexplained.push(example),
        }
    }

    #[expect(clippy::print_stdout, reason = "the figures are shown by --nocapture")]
    fn report(&self, name: &str) {
        let mut lines = format!("{name}: {} answers agree\n", self.equal);
        for (rule, (count, example)) in &self.explained {
            let _ = writeln!(lines, "{count:>8}  {rule}\n          for example {example}");
        }
        println!("{lines}");
        let some: Vec<&String> = self.unexplained.iter().take(20).collect();
        assert!(some.is_empty(), "{} unexplained: {some:#?}", self.unexplained.len());
    }
}

#[test]
fn croner_agrees_except_for_known_differences() {
    let draw = Draw::seeded(5);
    let parser = croner::parser::CronParser::builder().sloppy_ranges(true).build();
    let (mut tally, mut near) = (Tally::default(), 0);
    let count = scaled(3000);
    for _ in 0..count {
        let (triple, is_near) = Triple::draw(&draw);
        near += u32::from(is_near);
        let theirs = match parser.parse(&triple.expression) {
            Ok(cron) => {
                let from = triple.instant.with_timezone(&triple.zone);
                let next = cron.find_next_occurrence(&from, false);
                next.map(|next| Time::nearest(next.to_utc())).map_err(|_| "finds none")
            }
            Err(_) => Err("refused"),
        };
        tally.add(&triple, theirs, explain_croner);
    }
    tally.report("croner");
    assert!(near * 100 >= count * 40, "only {near} of {count} are near a clock change");
}

fn explain_croner(
    triple: &Triple,
    ours: Option<Time>,
    theirs: Result<Time, &str>,
) -> Option<&'static str> {
    if theirs == Err("refused") && triple.expression.contains("L-") {
        return Some("croner has no `L-n`");
    }
    let is_single = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit());
    let [minute, hour] = triple.minute_and_hour();
    let second = if triple.has_seconds() { triple.fields()[0] } else { "0" };
    let single = [second, minute, hour].into_iter().all(is_single);
    // The rules of croner that may apply here, as our options.
    let policies = if single { ["", SKIP] } else { ["", ELAPSED] };
    let stars = with_day_stars_as_ranges(triple);
    for (expression, starred) in [(&triple.expression, false), (&stars, true)] {
        for policy in policies {
            let differs = (starred && stars != triple.expression) || !policy.is_empty();
            if !differs || triple.answer(expression, policy) != theirs.ok() {
                continue;
            }
            return Some(match (starred, policy) {
                (true, "") => {
                    "croner treats `*/n` in a day field as a restriction, so that either day field suffices"
                }
                (true, _) => {
                    "croner treats `*/n` as a restriction and follows elapsed time or skips the gap"
                }
                (false, SKIP) => {
                    "croner drops a time in a gap that extends into a day which does not match"
                }
                (false, _) => {
                    "croner follows elapsed time unless second, minute and hour are single values"
                }
            });
        }
    }
    if theirs.is_err() && single && ours.is_some_and(|ours| triple.is_near_change(ours)) {
        return Some("croner gives up on gaps longer than two hours");
    }
    beyond_our_years(ours, theirs)
}

/// The expression, with the leading `*` of its day fields replaced by a range.
fn with_day_stars_as_ranges(triple: &Triple) -> String {
    let mut fields: Vec<String> = triple.fields().into_iter().map(str::to_owned).collect();
    let last = fields.len() - 1;
    for (field, range) in [(last - 2, "1-31"), (last, "0-7")] {
        if fields[field] != "*" && fields[field].starts_with('*') {
            fields[field] = fields[field].replacen('*', range, 1);
        }
    }
    fields.join(" ")
}

fn beyond_our_years(ours: Option<Time>, theirs: Result<Time, &str>) -> Option<&'static str> {
    let end = Time::from_timestamp(4_133_980_800 - 86_400, 0)?;
    (ours.is_none() && theirs.is_ok_and(|theirs| theirs >= end))
        .then_some("our schedules end with the year 2100")
}

/// Questions with `cronsim`'s answers; `cronsim_answers.py` documents how to make the table.
const CRONSIM: &str = include_str!("../oracles/cronsim.tsv");

#[test]
#[expect(clippy::disallowed_methods, reason = "a longer table is too big for the repository")]
fn cronsim_agrees_except_for_known_differences() {
    let table = match std::env::var_os("SCHEDULE_CRONSIM") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => CRONSIM.to_owned(),
    };
    let mut tally = Tally::default();
    for line in table.lines() {
        let [expression, zone, instant, answer] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let at = |seconds: &str| Time::from_timestamp(seconds.parse().unwrap(), 0).unwrap();
        let triple = Triple {
            expression: expression.to_owned(),
            zone: Tz::named(zone),
            instant: at(instant),
        };
        let theirs = match answer {
            "refused" | "none" | "hangs" => Err(answer),
            seconds => Ok(at(seconds)),
        };
        tally.add(&triple, theirs, explain_cronsim);
    }
    tally.report("cronsim");
    assert!(tally.equal > 2000);
}

fn explain_cronsim(
    triple: &Triple,
    ours: Option<Time>,
    theirs: Result<Time, &str>,
) -> Option<&'static str> {
    if theirs == Err("refused") && triple.expression.contains("L-") {
        return Some("cronsim has no `L-n`");
    }
    if theirs == Err("refused") && triple.expression.contains('W') {
        return Some("cronsim has no `nW`");
    }
    if theirs.is_ok_and(|theirs| theirs <= triple.instant) {
        return Some("cronsim returns a time in the past");
    }
    if theirs == Err("hangs") && ours.is_some_and(|ours| triple.is_near_change(ours)) {
        return Some("cronsim does not terminate near some clock changes");
    }
    let open = with_open_single_ranges(triple);
    let elapsed = triple.has_seconds();
    let readings = [
        (
            &triple.expression,
            ELAPSED,
            "cronsim follows elapsed time in every expression with seconds",
        ),
        (&open, "", "cronsim reads `a-a/n` as `a/n`"),
        (&open, ELAPSED, "cronsim reads `a-a/n` as `a/n`, and follows elapsed time with seconds"),
    ];
    let mut readings = readings.into_iter().filter(|(_, policy, _)| policy.is_empty() || elapsed);
    if let Some((.., rule)) =
        readings.find(|(text, policy, _)| triple.answer(text, policy) == theirs.ok())
    {
        return Some(rule);
    }
    let (policy, theirs) = (if elapsed { ELAPSED } else { "" }, theirs.ok()?);
    let missed = triple.answer(&open, policy)?;
    let just_before = Triple {
        expression: open.clone(),
        instant: theirs - TimeDelta::seconds(1),
        zone: triple.zone,
    };
    if next_change(triple.zone, theirs - TimeDelta::seconds(1)) == Some(theirs)
        && just_before.answer(&open, policy) != Some(theirs)
    {
        return Some("cronsim returns a midnight that the clocks skipped");
    }
    let is_later_one = missed < theirs && just_before.answer(&open, policy) == Some(theirs);
    (is_later_one && triple.is_near_change(missed))
        .then_some("cronsim misses an occurrence near a clock change and returns a later one")
}

/// The expression, with each `a-a/n` replaced by `a/n`, which is how `cronsim` reads it.
fn with_open_single_ranges(triple: &Triple) -> String {
    let open = |entry: &str| match entry.split_once('/') {
        Some((range, step)) => match range.split_once('-') {
            Some((first, last)) if first.eq_ignore_ascii_case(last) => format!("{first}/{step}"),
            _ => entry.to_owned(),
        },
        None => entry.to_owned(),
    };
    let field = |field: &str| field.split(',').map(open).collect::<Vec<_>>().join(",");
    triple.fields().into_iter().map(field).collect::<Vec<_>>().join(" ")
}

/// Writes the questions for a new table.
#[test]
#[ignore = "makes a new table; SCHEDULE_TRIPLES names the file to write"]
#[expect(clippy::disallowed_methods, reason = "run by hand")]
fn draw_triples() {
    let draw = Draw::seeded(6);
    let mut lines = String::new();
    for _ in 0..scaled(4000) {
        let (Triple { expression, zone, instant }, _) = Triple::draw(&draw);
        let _ = writeln!(lines, "{expression}\t{}\t{}", zone.name(), instant.timestamp());
    }
    std::fs::write(std::env::var_os("SCHEDULE_TRIPLES").unwrap(), lines).unwrap();
}
