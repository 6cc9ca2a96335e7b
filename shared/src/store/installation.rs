//! Where the control database lies. A copy (for staging, or a disk's snapshot) lists the original's tenants, and
//! must not run their jobs, too.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sqlx::{query, query_as};

use super::control::Control;
use super::db::{Db, run, run_on_either};
use super::error::{Result, StoreError};
use super::guarded::Guarded;
use super::place::Place;
use super::sql;

impl Control {
    /// Fails if this database is not where it was settled; settles it if it was not yet.
    ///
    /// # Errors
    /// [`Elsewhere`](StoreError::Elsewhere) if it is a copy, or was moved.
    pub async fn prove_place(&self) -> Result<()> {
        let Some(now) = self.place().await? else { return Ok(()) };
        if self.settle(&now, false).await?.is_applied() {
            return Ok(());
        }
        self.check_place().await?;
        // Path or inode may have changed; the next change is compared with what is here now.
        self.settle(&now, true).await.map(drop)
    }

    /// The same, but changes nothing.
    ///
    /// # Errors
    /// [`Elsewhere`](StoreError::Elsewhere) if it is a copy, or was moved.
    pub async fn check_place(&self) -> Result<()> {
        let found = run_on_either!(&self.db, sql::FIND_INSTALLATION, |text, connection| {
            query_as(text).fetch_optional(connection)
        });
        let before: Option<Place> = found?;
        match (before, self.place().await?) {
            (Some(before), Some(now)) if !before.is_same(&now) => {
                Err(StoreError::Elsewhere { before, now })
            }
            _ => Ok(()),
        }
    }

    /// Records that this database belongs where it is.
    pub async fn settle_here(&self) -> Result<()> {
        if let Some(now) = self.place().await? {
            let _ = self.settle(&now, true).await?;
        }
        Ok(())
    }

    async fn settle(&self, place: &Place, replaces: bool) -> Result<Guarded> {
        run_on_either!(&self.db, sql::SETTLE, |text, connection| async {
            let settling = query(text).bind(&place.place).bind(&place.file).bind(replaces);
            Ok(Guarded::of(settling.execute(connection).await?.rows_affected()))
        })
    }

    /// Where it is now; none if that cannot be found out.
    async fn place(&self) -> Result<Option<Place>> {
        match &self.db {
            Db::Postgres(database) => {
                let place = run!(database, |connection| {
                    query_as(sql::READ_PLACE.postgres).fetch_optional(connection)
                });
                match place {
                    // Some hosted servers keep their identifier to themselves.
                    Err(StoreError::Denied(_)) => Ok(None),
                    place => place,
                }
            }
            Db::Sqlite(database) => Ok(of_file(database.options().get_filename())),
        }
    }
}

fn of_file(path: &Path) -> Option<Place> {
    let (path, data) = (path.canonicalize().ok()?, path.metadata().ok()?);
    let file = Some(format!("{}:{}", data.dev(), data.ino()));
    Some(Place { place: path.display().to_string(), file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_copy_only_if_both_path_and_inode_differ() {
        let place = |place: &str, file: Option<&str>| Place {
            place: place.to_owned(),
            file: file.map(str::to_owned),
        };
        let file = place("/a.db", Some("1:2"));
        assert!(file.is_same(&file));
        assert!(file.is_same(&place("/b.db", Some("1:2"))), "renamed");
        assert!(file.is_same(&place("/a.db", Some("1:3"))), "restored");
        assert!(!file.is_same(&place("/b.db", Some("1:3"))));
        assert!(!place("7/16384", None).is_same(&place("7/16385", None)));
    }
}
