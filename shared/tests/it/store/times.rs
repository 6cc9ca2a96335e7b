//! Times are stored to the microsecond, compared correctly in any notation, and read from the
//! database's clock.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Clock, Time};
use shared::random::Random;
use shared::store::{Arm, Connections, Store};
use testkit::TenantDatabase;

use super::{at, default_queue};

on_both_stores! {
    times_round_trip_to_the_microsecond,
    times_sort_with_any_number_of_digits,
    the_store_returns_the_time_of_its_database,
}

async fn times_round_trip_to_the_microsecond(database: TenantDatabase) {
    let store = database.store();
    let job = database.insert_job("a").await;
    for text in [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.000001Z",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        "1999-12-31T23:59:59.1Z",
        "2026-11-24T12:00:00.123Z",
        "2024-02-29T23:59:59.999999Z",
        "9999-12-31T23:59:58.999999Z",
        "9999-12-31T23:59:59Z",
    ] {
        let time: Time = text.parse().unwrap();
        database.execute("UPDATE polychron_job SET next_run_at = NULL").await;
        store.arm(&[Arm { job, version: 1, next_run_at: time }], at(time)).await.unwrap();
        let row = store.find_job("a").await.unwrap().unwrap();
        assert_eq!((row.next_run_at, row.schedule_since), (Some(time), Some(time)), "{text}");
        assert_eq!(store.poll().await.unwrap().next_due_at, Some(time));
        let due = store.read_due(at(time), at(time), &default_queue(), 9).await.unwrap();
        assert_eq!((due.len(), due[0].next_run_at), (1, time), "{text}");
        let before = at(time) - TimeDelta::microseconds(1);
        if time > "0001-01-01T00:00:00Z".parse::<Time>().unwrap() {
            assert_eq!(
                store.read_due(before, before, &default_queue(), 9).await.unwrap().len(),
                0,
                "{text}"
            );
        }
    }
}

/// SQLite compares them as text: a shorter fraction ends in `+`, which sorts before any digit and
/// before the point.
async fn times_sort_with_any_number_of_digits(database: TenantDatabase) {
    let store = database.store();
    let start: Time = "2026-11-24T11:59:58Z".parse().unwrap();
    let random = Random::seeded(7);
    let mut micros: Vec<i64> =
        vec![0, 1, 10, 1000, 499_999, 500_000, 500_001, 999_999, 1_000_000, 1_000_001, 1_001_000];
    micros.extend((0..40).map(|_| (random.unit() * 2e6) as i64));
    micros.extend((0..20).map(|_| (random.unit() * 2e3) as i64 * 1000));
    micros.sort_unstable();
    micros.dedup();
    let mut insert = String::new();
    for (n, micros) in micros.iter().enumerate() {
        let at = (start + TimeDelta::microseconds(*micros)).to_rfc3339();
        insert += &format!(
            "INSERT INTO polychron_job (name, job_type, schedule, next_run_at) VALUES ('{n}', 'noop', '{{}}', '{at}');"
        );
    }
    database.execute(&insert).await;
    let time = |micros: &i64| start + TimeDelta::microseconds(*micros);
    let start = at(start);
    let due = store.read_due(at(time(&3_000_000)), start, &default_queue(), 999).await.unwrap();
    let times: Vec<Time> = due.iter().map(|job| job.next_run_at).collect();
    assert_eq!(times, micros.iter().map(time).collect::<Vec<Time>>());
    for (n, micros) in micros.iter().enumerate() {
        let due = store.read_due(at(time(micros)), start, &default_queue(), 999).await.unwrap();
        assert_eq!(due.len(), n + 1, "{}", time(micros));
    }
}

async fn the_store_returns_the_time_of_its_database(database: TenantDatabase) {
    let connections = Connections::new(Clock::System, 8);
    let store = Store::new(database.tenant, &database.url, &connections).unwrap();
    let mut last = store.now().await.unwrap();
    for _ in 0..200 {
        let now = store.now().await.unwrap();
        assert!(now >= last, "{now} came after {last}");
        last = now;
    }
    let theirs = if database.is_sqlite() {
        "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    } else {
        r#"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
    };
    let (before, theirs, after) =
        (store.now().await.unwrap(), database.text(theirs).await, store.now().await.unwrap());
    let theirs: Time = theirs.parse().unwrap();
    let tolerance = TimeDelta::milliseconds(50);
    assert!(
        before - tolerance <= theirs && theirs <= after + tolerance,
        "{before} {theirs} {after}"
    );
    let until = store.until((after + TimeDelta::hours(1)).time());
    assert!(until <= Duration::from_secs(3600) && until > Duration::from_secs(3590));
    assert_eq!(store.until(before.time()), Duration::ZERO);
}
