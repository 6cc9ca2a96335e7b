//! How much a database server may send. A tenant's server is not ours: it may answer with one value
//! of 500 MB, with notices without end, or with a length that it never fills.
//!
//! sqlx buffers each message of the server whole, so the bound has to be in the driver, before
//! there is memory for the message. `vendor/sqlx-postgres` is the published driver with that bound
//! (`vendor/README.md`).

use sqlx::postgres::PgConnectOptions;

use super::session::Planning;

/// Bounds on what one PostgreSQL connection takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// One row.
    row: usize,
    /// All rows that answer one statement.
    rows: usize,
    /// All other messages that answer one statement: errors, notices, descriptions of columns.
    other: usize,
    /// Whether types that are not built in are looked up, and kept with the connection.
    looks_up_types: bool,
}

impl ReadLimits {
    /// For our own statements, whose rows are bounded by the schema: payload, result and output have
    /// 64 KiB each. A batch of the engine has 100 payloads; a page that people ask for 500 of each.
    pub(super) fn of(planning: Planning) -> ReadLimits {
        let rows = match planning {
            Planning::ByKeys | Planning::ByKeysOnce => 16 << 20,
            Planning::Free => 128 << 20,
        };
        ReadLimits { row: 1 << 20, rows, other: 256 << 10, looks_up_types: false }
    }

    /// For jobs of the type `sql`, which keep no row but may have much to notice.
    pub(super) const SCRIPT: ReadLimits =
        ReadLimits { row: 1 << 20, rows: 256 << 20, other: 16 << 20, looks_up_types: false };
    /// For people's own handlers. How many rows they hold at once is their decision.
    pub(super) const HANDLER: ReadLimits =
        ReadLimits { row: 16 << 20, rows: usize::MAX, other: 16 << 20, looks_up_types: true };

    /// These options, with these limits.
    pub(super) fn apply(self, options: PgConnectOptions) -> PgConnectOptions {
        options.read_limits(self.row, self.rows, self.other).looks_up_types(self.looks_up_types)
    }
}

/// Whether this program was built with the driver that keeps the limits. Cargo reads `[patch]` from
/// the workspace that is built and nowhere else, so a program in a workspace of its own has to name
/// the driver there.
pub const READ_LIMITS_ARE_KEPT: bool = PgConnectOptions::KEEPS_READ_LIMITS;

/// What the published driver lacks. Methods of the type itself win over those of a trait, so these
/// are called only where the type has none.
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
