//! The answer of a guarded statement.

/// What a guarded statement did. Each method's documentation names its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Guarded {
    /// The row satisfied the guard and was written.
    Applied,
    /// No row satisfied the guard, so nothing was written.
    NoMatch,
}

impl Guarded {
    pub(super) fn of(rows: u64) -> Guarded {
        if rows > 0 { Guarded::Applied } else { Guarded::NoMatch }
    }

    /// Whether the row was written.
    pub fn is_applied(self) -> bool {
        self == Guarded::Applied
    }
}
