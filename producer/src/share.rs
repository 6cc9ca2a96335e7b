//! Which tenants are this producer's to watch, and which producers there are to share with. Pure.
//!
//! Each producer gives every tenant a weight, and the heaviest watches it. So all who know the same
//! producers divide the tenants alike without a word between them, and when one comes or goes, only
//! its own tenants move. Where they know different ones, somebody may be watched twice, which does
//! no harm: a dispatch is guarded in the tenant's database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::clock::{BootTime, Time};
use shared::id::TenantId;
use shared::store;

/// One not heard of for this long is taken for dead.
pub(crate) const LASTS: Duration = Duration::from_secs(10);

/// The part of the tenants that one producer watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    me: u64,
    /// The others, and whose database each of them cannot use; where there are none, everything is
    /// watched.
    others: Vec<(u64, BTreeSet<TenantId>)>,
}

impl Share {
    /// All tenants.
    pub(crate) fn whole() -> Share {
        Share::default()
    }

    /// The share of `me` among those that live.
    pub(crate) fn among(me: &str, living: &[store::Producer]) -> Share {
        let others = living.iter().filter(|other| other.name != me);
        let others = others.map(|other| {
            (hash(other.name.as_bytes()), other.unreachable.iter().copied().collect())
        });
        Share { me: hash(me.as_bytes()), others: others.collect() }
    }

    /// How many producers there are, as far as it is known.
    pub(crate) fn producers(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether this tenant is in it.
    pub(crate) fn has(&self, tenant: TenantId) -> bool {
        let number = hash(tenant.0.as_bytes());
        let mine = mix(self.me ^ number);
        // Of two that weigh the same, both watch.
        let leaves_it = |(other, unreachable): &(u64, BTreeSet<TenantId>)| {
            mix(other ^ number) <= mine || unreachable.contains(&tenant)
        };
        self.others.iter().all(leaves_it)
    }
}

/// FNV-1a. It must never change: producers of two versions would divide the tenants differently, and
/// leave some to each other.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// The finalizer of splitmix64: every bit moves every bit. It must never change, either.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Who has been heard of, and when, by this process's own boot time: the database's clock may be
/// set, and would make the dead live on, or all die together.
#[derive(Default)]
pub(crate) struct Roll {
    /// Each one's last word, and when it was first seen here.
    heard: BTreeMap<String, (Time, BootTime)>,
}

impl Roll {
    /// Takes in the rows that were found at `now`; answers with those that live. Of one that is
    /// found for the first time, the row itself is the sign of life.
    pub(crate) fn call(
        &mut self,
        rows: Vec<store::Producer>,
        now: BootTime,
    ) -> Vec<store::Producer> {
        let before = std::mem::take(&mut self.heard);
        for row in &rows {
            let since = match before.get(&row.name) {
                Some((seen_at, since)) if *seen_at == row.seen_at => *since,
                _ => now,
            };
            self.heard.insert(row.name.clone(), (row.seen_at, since));
        }
        let lives = |row: &store::Producer| {
            let heard = self.heard.get(&row.name);
            heard.is_some_and(|(_, since)| now - *since < LASTS)
        };
        rows.into_iter().filter(lives).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use shared::random::Random;
    use uuid::Uuid;

    use super::*;

    /// Ids as they are given: they begin with the time, and are alike in that.
    fn tenants(count: usize) -> Vec<TenantId> {
        let random = Random::seeded(1);
        (0..count).map(|n| TenantId::new(noon() + TimeDelta::seconds(n as i64), &random)).collect()
    }

    fn noon() -> Time {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn producer(name: &str, seen_at: Time) -> store::Producer {
        store::Producer {
            name: name.into(),
            host: "h".into(),
            pid: 1,
            version: "0".into(),
            watched: 0,
            poll_seconds: 30,
            unreachable: Vec::new(),
            started_at: noon(),
            seen_at,
        }
    }

    fn producers(count: usize) -> Vec<store::Producer> {
        (0..count).map(|n| producer(&format!("host-{}-{n:06x}", 100 + n), noon())).collect()
    }

    /// Who watches each tenant.
    fn watchers(living: &[store::Producer], tenants: &[TenantId]) -> Vec<Vec<String>> {
        let share = |me: &store::Producer| (me.name.clone(), Share::among(&me.name, living));
        let shares: Vec<_> = living.iter().map(share).collect();
        let of = |tenant: &TenantId| {
            let watching = shares.iter().filter(|(_, share)| share.has(*tenant));
            watching.map(|(name, _)| name.clone()).collect()
        };
        tenants.iter().map(of).collect()
    }

    #[test]
    fn each_tenant_has_one_watcher_and_each_producer_its_part() {
        let tenants = tenants(10_000);
        for count in [1, 2, 3, 7, 20] {
            let living = producers(count);
            let mut watched: BTreeMap<String, usize> = BTreeMap::new();
            for watching in watchers(&living, &tenants) {
                let [one] = watching.as_slice() else { panic!("{watching:?}") };
                *watched.entry(one.clone()).or_default() += 1;
            }
            let part = tenants.len() / count;
            // Four standard deviations of a fair draw.
            let spread = 4 * (part as f64).sqrt().ceil() as usize;
            assert_eq!(watched.len(), count);
            for (name, watched) in watched {
                assert!(watched.abs_diff(part) <= spread, "{name} of {count}: {watched}");
            }
        }
    }

    #[test]
    fn only_the_tenants_of_one_that_comes_or_goes_move() {
        let tenants = tenants(2_000);
        let (few, many) = (producers(4), producers(5));
        let newcomer = &many[4].name;
        let moved = watchers(&few, &tenants).into_iter().zip(watchers(&many, &tenants));
        let moved: Vec<_> = moved.filter(|(before, after)| before != after).collect();
        assert!(
            moved.iter().all(|(_, after)| after == std::slice::from_ref(newcomer)),
            "{moved:?}"
        );
        assert!((300..500).contains(&moved.len()), "a fifth of them: {}", moved.len());
    }

    #[test]
    fn a_tenant_that_its_watcher_cannot_reach_is_watched_by_another_too() {
        let (tenants, mut living) = (tenants(100), producers(3));
        let before = watchers(&living, &tenants);
        for producer in &mut living {
            let own = |one: &usize| before[*one] == [producer.name.clone()];
            producer.unreachable.extend((0..50).filter(own).map(|one| tenants[one]));
        }
        for (n, watching) in watchers(&living, &tenants).iter().enumerate() {
            assert!(watching.contains(&before[n][0]), "the watcher goes on trying");
            assert_eq!(watching.len(), if n < 50 { 2 } else { 1 });
        }
    }

    #[test]
    fn the_weights_are_the_same_in_every_version() {
        assert_eq!(hash(b"polychron"), 0x032e_8e84_b1fb_003a);
        let share = Share::among("a", &[producer("a", noon()), producer("b", noon())]);
        let has: Vec<bool> = (0..8).map(|n| share.has(TenantId(Uuid::from_u128(n)))).collect();
        assert_eq!(has, [true, true, false, false, false, true, false, false]);
        assert!(Share::whole().has(TenantId(Uuid::from_u128(1))));
    }

    #[test]
    fn one_that_is_silent_dies_whatever_the_databases_clock_does() {
        let seconds = |n| BootTime::ZERO + Duration::from_secs(n);
        let mut roll = Roll::default();
        let mut living = |a: i64, b: bool, now: u64| -> String {
            let mut rows = vec![producer("a", noon() + TimeDelta::seconds(a))];
            // The clock was set back: b's last word seems to come from the future, and stays.
            rows.extend(b.then(|| producer("b", noon() + TimeDelta::hours(1))));
            let living = roll.call(rows, seconds(now)).into_iter();
            living.map(|producer| producer.name).collect()
        };
        assert_eq!(living(0, true, 100), "ab");
        assert_eq!(living(9, true, 109), "ab");
        assert_eq!(living(12, true, 112), "a");
        assert_eq!(living(-60, true, 121), "a", "another word is a word");
        assert_eq!(living(-60, true, 131), "");
        assert_eq!(living(-50, false, 132), "a", "it is back");
        assert_eq!(living(-50, true, 133), "ab", "one that was forgotten may be new");
    }
}
