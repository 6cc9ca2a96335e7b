//! Other time zone rules while jobs are planned. One test, because the rules in use are the process's; no
//! other test has jobs in Troll.

use std::sync::Arc;
use std::time::Duration;

use polychron_producer::sweeper::SweepScope;
use serde_json::json;
use shared::clock::Time;
use shared::outcome::Outcome;
use shared::schedule::{EarlierRules, ZoneDirectory, ZoneRules};
use testkit::{Folder, zoneinfo};

use super::table::{Table, poll};

/// The built-in rules until `until`, and from then on those of `like` in Troll.
fn rules(like: &str, until: &str) -> Arc<ZoneRules> {
    let folder = Folder::new();
    let directory = zoneinfo(&folder, "zones", "2027a", &[("Antarctica/Troll", like)]);
    let (rules, _) = ZoneDirectory::read(&directory).unwrap().complete(ZoneRules::built_in());
    let earlier =
        EarlierRules { rules: ZoneRules::built_in().clone(), until: until.parse().unwrap() };
    Arc::new(rules.after(Some(earlier)))
}

/// The times at which a job ran, in UTC, when the rules change at 12:01 UTC to those of `like`. Until
/// then, clocks in Troll show UTC. For a moment, another producer still goes by the old rules.
async fn runs(cron: &str, like: &str) -> Vec<String> {
    ZoneRules::use_from_now_on(ZoneRules::built_in().clone());
    let table = Table::at("2026-11-28T11:00:30Z").await;
    let schedule = json!({"cron": cron, "timezone": "Antarctica/Troll"});
    table.add("a", schedule, |job| job.misfire_grace_seconds = 60).await;
    let (slow, _driver) = table.another_poller();
    let new = rules(like, "2026-11-28T12:01:00Z");
    // Every minute around the change, then every ten until the next afternoon.
    for step in 0..75 + 173 {
        table.manual.advance(Duration::from_secs(if step < 75 { 60 } else { 600 }));
        // This producer has the new rules from 12:00:30 on. The other one has them two minutes later, and
        // dispatches first as long as it has not.
        if step < 62 {
            ZoneRules::use_from_now_on(ZoneRules::built_in().clone());
            poll(&slow, &table.tenant, None, SweepScope::Overdue).await;
            slow.messenger.flush(Duration::from_secs(60)).await;
        }
        if step >= 59 {
            ZoneRules::use_from_now_on(new.clone());
        }
        table.poll().await;
        for claim in table.claim(10).await {
            table.finish(&claim, Outcome::Success(json!(null))).await;
        }
    }
    ZoneRules::use_from_now_on(ZoneRules::built_in().clone());
    let rows = table.executions().await;
    let ran = rows.iter().map(|row| {
        let at: Time = row.scheduled_for;
        format!("{} {}", at.format("%d %H:%M"), row.status)
    });
    ran.collect()
}

#[tokio::test]
async fn nothing_runs_twice_or_is_lost_when_the_rules_change() {
    // Tokyo is nine hours ahead of UTC: 12:01 becomes 21:01.
    let success = |times: &[&str]| -> Vec<String> {
        times.iter().map(|time| format!("{time} success")).collect()
    };
    // A time of day that the change skips runs at once; from the next day on, by the new rules.
    assert_eq!(runs("0 15 * * *", "Asia/Tokyo").await, success(&["28 12:01", "29 06:00"]));
    // One that is not skipped, and comes sooner.
    assert_eq!(runs("0 9 * * *", "Asia/Tokyo").await, success(&["29 00:00"]));
    // São Paulo is three hours behind: 12:01 becomes 09:01, and 11:30 has run already.
    let ran = runs("30 11 * * *", "America/Sao_Paulo").await;
    assert_eq!(ran, success(&["28 11:30", "29 14:30"]));
    // 13:00 has not, and is later than it was.
    assert_eq!(runs("0 13 * * *", "America/Sao_Paulo").await, success(&["28 16:00", "29 16:00"]));
    // What follows elapsed time goes on as it was.
    let every_six = runs("0 */6 * * *", "Asia/Tokyo").await;
    assert_eq!(
        every_six,
        success(&["28 12:00", "28 15:00", "28 21:00", "29 03:00", "29 09:00", "29 15:00"])
    );
}
