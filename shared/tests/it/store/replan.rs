//! Next times that are worked out anew.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::Time;
use shared::id::{JobId, TenantId};
use shared::replan::{Deviation, Review};
use shared::schedule::{EarlierRules, ZoneDirectory, ZoneRules};
use shared::store::{DbTime, PlannedJob, Store};
use testkit::{Folder, TenantDatabase, zoneinfo};
use uuid::Uuid;

use super::{at, claimed};

on_both_stores! {
    a_next_time_is_replaced_only_if_nothing_has_changed_it,
    a_time_that_was_worked_out_by_a_clock_ahead_is_told_from_one_set_by_hand,
    times_of_earlier_rules_are_replaced,
    open_rows_from_the_future_are_corrected,
}

/// The job's next time, read as a review reads it.
async fn planned(store: &Store) -> PlannedJob {
    store.read_planned(JobId(0), Time::from_timestamp(0, 0).unwrap(), 10).await.unwrap().remove(0)
}

fn review(store: &Store, now: DbTime) -> Review<'_> {
    let (tenant, rules) = (TenantId(Uuid::nil()), ZoneRules::built_in().clone());
    Review { tenant, store, now, rules }
}

async fn set_schedule(database: &TenantDatabase, schedule: &str) {
    database.execute(&format!("UPDATE polychron_job SET schedule = '{schedule}'")).await;
}

/// Sets the next time, as an application would, and from when on its schedule counts.
async fn set_next(database: &TenantDatabase, next: &str, since: &str) {
    let set =
        format!("UPDATE polychron_job SET next_run_at = '{next}', schedule_since = '{since}'");
    database.execute(&set).await;
}

async fn a_next_time_is_replaced_only_if_nothing_has_changed_it(database: TenantDatabase) {
    let store = database.store();
    database.insert_job("a").await;
    set_next(&database, "2036-01-01T00:00:00+00:00", "2036-01-01T00:00:00+00:00").await;
    database.execute("UPDATE polychron_job SET pruned_until = '2035-01-01T00:00:00+00:00'").await;
    let (job, now) = (planned(&store).await, at("2026-11-28T12:00:00Z".parse().unwrap()));
    let next: Time = "2026-11-28T13:00:00Z".parse().unwrap();
    for changed in [
        PlannedJob { version: job.version + 1, ..job.clone() },
        PlannedJob { next_run_at: next, ..job.clone() },
    ] {
        assert!(!store.replan(&changed, Some(next), now).await.unwrap().is_applied());
    }
    assert!(store.replan(&job, Some(next), now).await.unwrap().is_applied());
    let row = store.find_job("a").await.unwrap().unwrap();
    assert_eq!((row.next_run_at, row.version), (Some(next), job.version));
    // What was said about the future is said about the present.
    assert_eq!((row.schedule_since, row.pruned_until), (Some(now.time()), Some(now.time())));
    // Without a next time, the schedule is used up, which is no edit.
    assert!(store.replan(&planned(&store).await, None, now).await.unwrap().is_applied());
    let row = store.find_job("a").await.unwrap().unwrap();
    assert_eq!((row.next_run_at, row.is_enabled, row.version), (None, false, job.version));
    assert!(
        store
            .read_planned(JobId(0), Time::from_timestamp(0, 0).unwrap(), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_time_that_was_worked_out_by_a_clock_ahead_is_told_from_one_set_by_hand(
    database: TenantDatabase,
) {
    let store = database.store();
    database.insert_job("a").await;
    set_schedule(&database, r#"{"every":"10s"}"#).await;
    let now = at("2026-11-28T12:00:05Z".parse().unwrap());
    let review = review(&store, now);
    let own: Time = "2026-11-28T12:00:10Z".parse().unwrap();
    let past = "2026-01-01T00:00:00+00:00";
    let showed: Time = "2036-11-28T12:00:05Z".parse().unwrap();
    for (next, since, expected) in [
        ("2026-11-28T12:00:10+00:00", past, None),
        // Sooner, or due: by hand.
        ("2026-11-28T12:00:07+00:00", past, None),
        ("2026-11-28T12:00:00+00:00", past, None),
        // The engine's, which read the clock a little later.
        ("2026-11-28T12:00:20+00:00", past, None),
        // Later, and not certain to be the engine's.
        ("2036-11-28T12:00:10+00:00", past, Some(Deviation::Postponed { own })),
        ("2026-11-28T12:00:23+00:00", past, Some(Deviation::Postponed { own })),
        // By hand, after the schedule was armed by a clock that was ahead.
        (
            "2036-11-28T12:00:20+00:00",
            "2036-11-28T12:00:05+00:00",
            Some(Deviation::Postponed { own }),
        ),
        // Armed by a clock that was ahead.
        (
            "2036-11-28T12:00:10+00:00",
            "2036-11-28T12:00:05+00:00",
            Some(Deviation::WrongClock { showed, instead: own }),
        ),
    ] {
        set_next(&database, next, since).await;
        let found = review.examine(&planned(&store).await).await.unwrap();
        assert_eq!(found, expected, "{next} {since}");
    }
}

async fn times_of_earlier_rules_are_replaced(database: TenantDatabase) {
    let store = database.store();
    database.insert_job("a").await;
    set_schedule(&database, r#"{"cron":"0 9 * * *","timezone":"Antarctica/Troll"}"#).await;
    let folder = Folder::new();
    let directory = zoneinfo(&folder, "zones", "2027a", &[("Antarctica/Troll", "Asia/Tokyo")]);
    let (rules, _) = ZoneDirectory::read(&directory).unwrap().complete(ZoneRules::built_in());
    let until: Time = "2026-11-28T12:01:00Z".parse().unwrap();
    let earlier = EarlierRules { rules: ZoneRules::built_in().clone(), until };
    let rules = Arc::new(rules.after(Some(earlier)));
    let now = at("2026-11-28T12:00:05Z".parse().unwrap());
    let review = Review { rules, ..review(&store, now) };
    // 09:00 in Troll is 09:00 UTC in winter, 09:00 in Tokyo is 00:00 UTC.
    let (old, new) = ("2026-11-29T09:00:00+00:00", "2026-11-29T00:00:00+00:00");
    let past = "2026-01-01T00:00:00+00:00";
    set_next(&database, old, past).await;
    let found = review.examine(&planned(&store).await).await.unwrap();
    let instead = Some(new.parse().unwrap());
    assert_eq!(found, Some(Deviation::EarlierRules { instead }));
    // The new rules' own time stays, and so does one that is due by the earlier ones.
    for next in [new, "2026-11-28T09:00:00+00:00"] {
        set_next(&database, next, past).await;
        assert_eq!(review.examine(&planned(&store).await).await.unwrap(), None, "{next}");
    }
    // So does one that was set by hand.
    set_next(&database, "2026-11-30T09:00:00+00:00", past).await;
    let found = review.examine(&planned(&store).await).await.unwrap();
    assert!(matches!(found, Some(Deviation::Postponed { .. })), "{found:?}");
    // A day later, nobody having polled meanwhile, the time of the earlier rules is still replaced.
    let now = now + TimeDelta::hours(30);
    let review = Review { now, ..review };
    set_next(&database, old, past).await;
    let found = review.examine(&planned(&store).await).await.unwrap();
    assert_eq!(found, Some(Deviation::EarlierRules { instead }));
    assert_eq!(review.planned_after(), until);
}

async fn open_rows_from_the_future_are_corrected(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let now = database.now();
    assert_eq!(store.correct_future(now).await.unwrap(), 0);
    // The clock is set back by ten years.
    let back = now - TimeDelta::days(3650);
    assert_eq!(store.correct_future(back).await.unwrap(), 1);
    let row = store.find_execution(claim.id).await.unwrap().unwrap();
    assert_eq!(row.lease_until, Some((back + Duration::from_secs(3600)).time()));
    // What has happened stays as it was recorded.
    assert_eq!(row.dispatched_at, Some(now.time()));
    assert_eq!(store.correct_future(back).await.unwrap(), 0);
}
