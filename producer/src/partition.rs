//! Which tenants this producer watches: rendezvous hashing over the live producers. Pure.
//!
//! Each producer gives every tenant a weight, and the producer with the highest weight watches it.
//! All producers that know of the same peers therefore agree on the partition without talking to each
//! other, and when a producer joins or leaves, only its own tenants move. While producers disagree on
//! who is alive, a tenant may have two watchers. That is harmless: a dispatch is guarded in the
//! tenant's database.

use std::collections::BTreeSet;

use shared::id::TenantId;
use shared::store;

/// The tenants that one producer watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The hash of this producer's name.
    own: u64,
    /// The hash of each live peer's name, and the tenants whose database that peer cannot reach.
    peers: Vec<(u64, BTreeSet<TenantId>)>,
}

impl Partition {
    /// All tenants.
    pub(crate) fn whole() -> Partition {
        Partition::default()
    }

    /// The partition of the producer `own_name` among the `live` producers.
    pub(crate) fn among(own_name: &str, live: &[store::ProducerRow]) -> Partition {
        let peers = live.iter().filter(|peer| peer.name != own_name);
        let peers = peers
            .map(|peer| (hash(peer.name.as_bytes()), peer.unreachable.iter().copied().collect()));
        Partition { own: hash(own_name.as_bytes()), peers: peers.collect() }
    }

    /// A partition so small, among a thousand, that a few tenants are not in it.
    #[cfg(test)]
    pub(crate) fn tiny() -> Partition {
        Partition { own: 0, peers: (1..1000).map(|peer| (peer, BTreeSet::new())).collect() }
    }

    /// How many live producers are known, this one included.
    pub(crate) fn producers(&self) -> usize {
        1 + self.peers.len()
    }

    /// Whether this producer watches the tenant. It does so, too, if the peers with a higher weight
    /// cannot reach the tenant's database; if weights are equal, both watch.
    pub(crate) fn contains(&self, tenant: TenantId) -> bool {
        let key = hash(tenant.0.as_bytes());
        let own_weight = mix(self.own ^ key);
        self.peers.iter().all(|(peer, unreachable)| {
            mix(peer ^ key) <= own_weight || unreachable.contains(&tenant)
        })
    }
}

/// FNV-1a. It must never change: producers of different versions would compute different partitions
/// and leave tenants unwatched.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// The finaliser of splitmix64, in which every input bit affects every output bit. It must never
/// change, either.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use shared::clock::Time;
    use shared::random::Random;
    use uuid::Uuid;

    use super::*;

    /// Real ids, which begin with the time and therefore resemble each other.
    fn tenants(count: usize) -> Vec<TenantId> {
        let random = Random::seeded(1);
        (0..count).map(|n| TenantId::new(noon() + TimeDelta::seconds(n as i64), &random)).collect()
    }

    fn noon() -> Time {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn producer(name: &str) -> store::ProducerRow {
        store::ProducerRow {
            name: name.into(),
            host: "h".into(),
            pid: 1,
            version: "0".into(),
            watched: 0,
            poll_seconds: 30,
            unreachable: Vec::new(),
            started_at: noon(),
            seen_at: noon(),
            zone_rules: None,
        }
    }

    fn producers(count: usize) -> Vec<store::ProducerRow> {
        (0..count).map(|n| producer(&format!("host-{}-{n:06x}", 100 + n))).collect()
    }

    /// Who watches each tenant.
    fn watchers(live: &[store::ProducerRow], tenants: &[TenantId]) -> Vec<Vec<String>> {
        let partition =
            |me: &store::ProducerRow| (me.name.clone(), Partition::among(&me.name, live));
        let partitions: Vec<_> = live.iter().map(partition).collect();
        let of = |tenant: &TenantId| {
            let watching = partitions.iter().filter(|(_, partition)| partition.contains(*tenant));
            watching.map(|(name, _)| name.clone()).collect()
        };
        tenants.iter().map(of).collect()
    }

    #[test]
    fn each_tenant_has_one_watcher_and_producers_have_equal_parts() {
        let tenants = tenants(10_000);
        for count in [1, 2, 3, 7, 20] {
            let live = producers(count);
            let mut watched: BTreeMap<String, usize> = BTreeMap::new();
            for watching in watchers(&live, &tenants) {
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
    fn only_the_tenants_of_a_producer_that_joins_or_leaves_move() {
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
    fn a_tenant_that_its_watcher_cannot_reach_gets_a_second_watcher() {
        let (tenants, mut live) = (tenants(100), producers(3));
        let before = watchers(&live, &tenants);
        for producer in &mut live {
            let own = |one: &usize| before[*one] == [producer.name.clone()];
            producer.unreachable.extend((0..50).filter(own).map(|one| tenants[one]));
        }
        for (n, watching) in watchers(&live, &tenants).iter().enumerate() {
            assert!(watching.contains(&before[n][0]), "the watcher goes on trying");
            assert_eq!(watching.len(), if n < 50 { 2 } else { 1 });
        }
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        assert_eq!(hash(b"polychron"), 0x032e_8e84_b1fb_003a);
        let partition = Partition::among("a", &[producer("a"), producer("b")]);
        let has: Vec<bool> =
            (0..8).map(|n| partition.contains(TenantId(Uuid::from_u128(n)))).collect();
        assert_eq!(has, [true, true, false, false, false, true, false, false]);
        assert!(Partition::whole().contains(TenantId(Uuid::from_u128(1))));
    }
}
