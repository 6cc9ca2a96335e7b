//! When occurrences are due if clocks change.

use super::check;

#[test]
fn a_fixed_time_in_a_gap_occurs_at_the_first_valid_instant_or_never() {
    let (from, until) = ("2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z");
    let new_york = |options: &str, expected: &[&str]| {
        let json = format!(r#"{{"cron":"30 2 * * *","timezone":"America/New_York"{options}}}"#);
        check(&json, from, until, expected);
    };
    let moved = ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
    new_york("", &moved);
    new_york(r#","gap":"first""#, &moved);
    new_york(r#","gap":"skip""#, &moved[1..]);
}

#[test]
fn a_fixed_time_in_a_fold_occurs_in_the_chosen_pass() {
    let london = |options: &str, expected: &[&str]| {
        let json = format!(r#"{{"cron":"30 1 * * *","timezone":"Europe/London"{options}}}"#);
        check(&json, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", expected);
    };
    let (first, second) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    london("", &[first]);
    london(r#","fold":"first""#, &[first]);
    london(r#","fold":"second""#, &[second]);
    london(r#","fold":"both""#, &[first, second]);
}

#[test]
fn several_times_in_one_gap_make_one_occurrence() {
    let json = r#"{"cron":"0,15,30 2,3 * * *","timezone":"America/New_York"}"#;
    let expected = ["2026-03-08T07:00:00Z", "2026-03-08T07:15:00Z", "2026-03-08T07:30:00Z"];
    check(json, "2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z", &expected);
}

#[test]
fn elapsed_time_runs_through_both_passes_without_duplicates() {
    let json = r#"{"cron":"*/30 * * * *","timezone":"America/New_York"}"#;
    let half_hours = ["06:00", "06:30", "07:00", "07:30"];
    let on = |day: &str| half_hours.map(|time| format!("{day}T{time}:00Z"));
    for day in ["2026-03-08", "2026-11-01"] {
        let expected = on(day);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(json, expected[0], &format!("{day}T08:00:00Z"), &expected);
    }
    // The options `gap` and `fold` have no effect.
    let json = r#"{"cron":"*/30 1 * * *","timezone":"America/New_York","fold":"first"}"#;
    let expected =
        ["05:00", "05:30", "06:00", "06:30"].map(|time| format!("2026-11-01T{time}:00Z"));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(json, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", &expected);
}

#[test]
fn a_time_on_a_skipped_day_occurs_at_the_first_instant_after_it() {
    // Samoa skipped 30 December 2011.
    let json = r#"{"cron":"0 9 * * *","timezone":"Pacific/Apia"}"#;
    let expected = ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"];
    check(json, "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z", &expected);
    let json = r#"{"cron":"0 9 30 12 *","timezone":"Pacific/Apia"}"#;
    check(json, "2011-12-01T00:00:00Z", "2012-01-01T00:00:00Z", &["2011-12-30T10:00:00Z"]);
}
