//! How many times per second one core computes the next occurrence of ordinary and of hard schedules,
//! the previous one, and their number in a year, and how often it parses the schedule.
//!
//! `cargo run --release -p polychron-bench --bin schedule`

use std::hint::black_box;
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::Time;
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};

/// How long each schedule is measured.
const MEASURE: Duration = Duration::from_millis(500);

const SCHEDULES: [&str; 16] = [
    r#"{"cron":"*/5 * * * *"}"#,
    r#"{"cron":"*/5 * * * *","timezone":"America/New_York"}"#,
    r#"{"cron":"0 2 * * 1-5","timezone":"Europe/London"}"#,
    r#"{"cron":"30 9 1 * *"}"#,
    r#"{"cron":"30 9 1 * *","timezone":"Asia/Kolkata"}"#,
    r#"{"cron":"0 0 13 * FRI","timezone":"Europe/Paris"}"#,
    r#"{"cron":"*/10 * * * * *"}"#,
    r#"{"cron":"0 18 L * *","timezone":"Europe/Berlin"}"#,
    r#"{"cron":"0 9 15W * *","timezone":"Europe/Berlin"}"#,
    r#"{"cron":"0 9 * * FRI#2","timezone":"Europe/Berlin"}"#,
    r#"{"cron":"0 0 1 1 *","timezone":"America/New_York"}"#,
    r#"{"cron":"0 0 29 2 *","timezone":"America/New_York"}"#,
    r#"{"cron":"H H * * *","jitter":"10m"}"#,
    r#"{"cron":"0 0 L 2 */7","timezone":"Africa/Casablanca"}"#,
    r#"{"cron":"*/2 * * * * *","jitter":"1s"}"#,
    r#"{"every":"15m"}"#,
];

#[expect(clippy::print_stdout, reason = "a program whose purpose is to print")]
fn main() -> Result<(), shared::schedule::ScheduleError> {
    let spread = Spread::new(TenantId(uuid::Uuid::nil()), JobId(1));
    println!("{:>12} {:>12} {:>12} {:>12}  schedule", "next/s", "prev/s", "years/s", "read/s");
    for json in SCHEDULES {
        let schedule = Schedule::read(json, spread)?;
        let next = rate(|time| schedule.next_after(time));
        let prev = rate(|time| schedule.prev_before(time));
        let years = rate(|time| schedule.count(time, time + TimeDelta::days(365)));
        let read = rate(|_| Schedule::read(json, spread));
        println!("{next:>12.0} {prev:>12.0} {years:>12.0} {read:>12.0}  {json}");
    }
    Ok(())
}

/// Calls per second, at instants spread over a year, which defeats caches.
fn rate<T>(work: impl Fn(Time) -> T) -> f64 {
    const STEP: TimeDelta = TimeDelta::seconds(7_919 * 37);
    let first = Time::from_timestamp(1_767_225_600, 0).unwrap_or(Time::MIN);
    let (started, mut calls, mut time) = (processor_time(), 0_u32, first);
    while processor_time() - started < MEASURE {
        for _ in 0..100 {
            black_box(work(black_box(time)));
            time += STEP;
            if time > first + TimeDelta::days(365) {
                time -= TimeDelta::days(365);
            }
        }
        calls += 100;
    }
    f64::from(calls) / (processor_time() - started).as_secs_f64()
}

/// This thread's processor time, which excludes everything else on the machine.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
