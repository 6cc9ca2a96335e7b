//! Limits how much a database server may send. A tenant's server is untrusted: it may answer with a value of
//! 500 MB, with endless notices, or with a length that it never fills.
//!
//! sqlx buffers each message of the server completely, so the driver must enforce the limit before it
//! allocates memory for the message. `vendor/sqlx-postgres` is the published driver with such limits
//! (`vendor/README.md`).

use sqlx::postgres::PgConnectOptions;

use super::session::Planning;

/// The limits of one PostgreSQL connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// One row.
    row: usize,
    /// All rows that answer one statement.
    rows: usize,
    /// All other messages that answer one statement: errors, notices, descriptions of columns.
    other: usize,
    /// Whether the driver looks up types that are not built in, and caches them for the connection.
    looks_up_types: bool,
}

impl ReadLimits {
    /// For our own statements, whose rows are bounded by the schema: payload, result and output have up to
    /// 64 KiB each. A batch of the engine has 100 payloads, and a page for users has 500 rows.
    pub(super) fn of(planning: Planning) -> ReadLimits {
        let rows = match planning {
            Planning::ByKeys | Planning::ByKeysOnce => 16 << 20,
            Planning::Free => 128 << 20,
        };
        ReadLimits { row: 1 << 20, rows, other: 256 << 10, looks_up_types: false }
    }

    /// For jobs of the type `sql`, which discard all rows but may cause many notices.
    pub(super) const SCRIPT: ReadLimits =
        ReadLimits { row: 1 << 20, rows: 256 << 20, other: 16 << 20, looks_up_types: false };
    /// For users' handlers, which decide themselves how many rows they hold in memory.
    pub(super) const HANDLER: ReadLimits =
        ReadLimits { row: 16 << 20, rows: usize::MAX, other: 16 << 20, looks_up_types: true };

    /// Adds the limits to these options.
    pub(super) fn apply(self, options: PgConnectOptions) -> PgConnectOptions {
        options.read_limits(self.row, self.rows, self.other).looks_up_types(self.looks_up_types)
    }
}

/// Whether this program was built with the driver that enforces the limits. Cargo reads `[patch]` only from
/// the workspace that is built, so a program in another workspace must name the driver there.
pub const READ_LIMITS_ARE_KEPT: bool = PgConnectOptions::KEEPS_READ_LIMITS;

/// The methods that the published driver lacks. Inherent methods take precedence over those of a trait, so
/// these are called only if the type has none.
#[allow(dead_code, reason = "the driver in the tree has methods of these names")]
trait WithoutLimits: Sized {
    const KEEPS_READ_LIMITS: bool = false;

    fn read_limits(self, _row: usize, _rows: usize, _other: usize) -> Self {
        self
    }

    fn looks_up_types(self, _looks_up: bool) -> Self {
        self
    }
}

impl WithoutLimits for PgConnectOptions {}
