//! Where a control database lies, as a value.

use std::fmt;

use sqlx::FromRow;

/// Where a control database lies.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Place {
    /// The PostgreSQL server's system identifier and the database's oid, or the path of the SQLite file.
    pub(super) place: String,
    /// Device and inode of the SQLite file.
    pub(super) file: Option<String>,
}

impl Place {
    /// Whether a database that was there may be the same one that is here now. An SQLite file that was renamed
    /// keeps its inode, and one that was restored keeps its path.
    pub(super) fn is_same(&self, now: &Place) -> bool {
        self.place == now.place || (self.file.is_some() && self.file == now.file)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}
