//! The time zone rules of the installation, in the control database. `installed_rules.rs` makes a process
//! follow them.

use sqlx::{FromRow, query, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::error::Result;
use super::guarded::Guarded;
use super::sql;
use crate::clock::Time;

/// The largest content, in bytes: the files of a directory, with their names.
pub const CONTENT_BYTES_MAX: usize = 9 * 1024 * 1024;

/// One set of rules, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct StoredZoneRules {
    /// Its place in the order.
    pub number: i64,
    /// The SHA-256 of the content.
    pub hash: String,
    /// The release of the time zone database.
    pub version: String,
    /// Where it came from.
    pub source: String,
    /// From when on it holds; until then, the set before it does.
    pub in_force_from: Time,
    /// Its zones.
    pub content: Vec<u8>,
}

/// Which set holds.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LatestZoneRules {
    /// Its number.
    pub number: i64,
    /// Its hash.
    pub hash: String,
}

impl Control {
    /// Which rules hold. None: the built-in ones.
    pub async fn read_zone_rules(&self) -> Result<Option<LatestZoneRules>> {
        run_on_either!(&self.db, sql::READ_ZONE_RULES, |text, connection| {
            query_as(text).fetch_optional(connection)
        })
    }

    /// All rules that are kept, the earliest first.
    pub async fn list_zone_rules(&self) -> Result<Vec<StoredZoneRules>> {
        run_on_either!(&self.db, sql::LIST_ZONE_RULES, |text, connection| {
            query_as(text).bind(CONTENT_BYTES_MAX as i64).fetch_all(connection)
        })
    }

    /// Adds rules. The guard: no others have their number.
    pub async fn insert_zone_rules(&self, rules: &StoredZoneRules) -> Result<Guarded> {
        run_on_either!(&self.db, sql::INSERT_ZONE_RULES, |text, connection| async {
            let done = query(text)
                .bind(rules.number)
                .bind(&rules.hash)
                .bind(&rules.version)
                .bind(&rules.source)
                .bind(rules.in_force_from)
                .bind(&rules.content)
                .execute(connection)
                .await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Deletes the rules before the one with this number.
    pub async fn prune_zone_rules(&self, first_kept: i64) -> Result<()> {
        run_on_either!(&self.db, sql::PRUNE_ZONE_RULES, |text, connection| async {
            query(text).bind(first_kept).execute(connection).await?;
            Ok(())
        })
    }
}
