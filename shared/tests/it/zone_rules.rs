//! The time zone rules of the installation, and how a process follows them.

use shared::clock::{Clock, Time};
use shared::database_url::DatabaseUrl;
use shared::installed_rules::{self, InstalledRules};
use shared::schedule::{ZoneDirectory, ZoneRules};
use shared::store::{Connections, Control, Schema, StoredZoneRules, migrate};
use testkit::{Folder, postgres_database, zoneinfo};

/// A set in which Troll has the rules of another zone.
fn set(number: i64, version: &str, like: &str, from: &str) -> StoredZoneRules {
    let folder = Folder::new();
    let directory = zoneinfo(&folder, "zones", version, &[("Antarctica/Troll", like)]);
    let (rules, _) = ZoneDirectory::read(&directory).unwrap().complete(ZoneRules::built_in());
    StoredZoneRules {
        number,
        hash: rules.hash().to_owned(),
        version: version.to_owned(),
        source: "test".to_owned(),
        in_force_from: from.parse().unwrap(),
        content: rules.pack(),
    }
}

fn offset(time: &str) -> i64 {
    let time: Time = time.parse().unwrap();
    ZoneRules::current().find("Antarctica/Troll").unwrap().offset_at(time) / 3600
}

async fn followed(url: &DatabaseUrl) {
    migrate(url, Schema::Control).await.unwrap();
    let control = Control::new(url, &Connections::new(Clock::System, 2)).unwrap();
    let follower = InstalledRules::default();
    follower.follow(&control).await;
    assert_eq!(follower.problem(), None);
    assert_eq!(ZoneRules::current().hash(), ZoneRules::built_in().hash());

    let first = set(1, "2027a", "Asia/Tokyo", "1970-01-01T00:00:00Z");
    let second = set(2, "2027b", "America/New_York", "2026-11-28T12:00:00Z");
    for set in [&first, &second] {
        assert!(control.insert_zone_rules(set).await.unwrap().is_applied());
        // Of two updates at once, one wins.
        assert!(!control.insert_zone_rules(set).await.unwrap().is_applied());
    }
    follower.follow(&control).await;
    assert_eq!((follower.problem(), ZoneRules::current().version()), (None, "2027b"));
    assert_eq!(offset("2026-11-28T11:59:59Z"), 9);
    assert_eq!(offset("2026-11-28T12:00:00Z"), -5);
    assert!(installed_rules::read(&control).await.unwrap().is_ok());

    // A set that was damaged on the way is not used, and the process says so.
    let mut damaged = set(3, "2027c", "Asia/Tokyo", "2026-11-29T12:00:00Z");
    damaged.content[5000] ^= 1;
    assert!(control.insert_zone_rules(&damaged).await.unwrap().is_applied());
    follower.follow(&control).await;
    let problem = follower.problem().unwrap();
    assert!(problem.contains("2027c") && problem.contains("SHA-256"), "{problem}");
    assert_eq!(ZoneRules::current().version(), "2027b");

    // Once it is replaced, all is well. The earliest sets are pruned.
    let fourth = set(4, "2027d", "Asia/Tokyo", "2026-11-30T12:00:00Z");
    assert!(control.insert_zone_rules(&fourth).await.unwrap().is_applied());
    control.prune_zone_rules(4).await.unwrap();
    follower.follow(&control).await;
    assert_eq!((follower.problem(), ZoneRules::current().version()), (None, "2027d"));
    ZoneRules::use_from_now_on(ZoneRules::built_in().clone());
}

/// One test, because the rules in use are the process's.
#[tokio::test]
async fn a_process_follows_the_rules_of_the_installation() {
    let folder = Folder::new();
    followed(&folder.sqlite_database("control.db")).await;
    followed(&postgres_database().await).await;
}
