//! The file of users, as last read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use operations::failure::Failure;
use shared::private_file;

use crate::secret;
use crate::user::{User, Users};

/// The file of users, as last read.
pub(super) struct UsersFile {
    pub(super) path: PathBuf,
    /// Changes with the file.
    stamp: Option<Stamp>,
    pub(super) users: Arc<Vec<User>>,
}

/// When a file was written, and its length.
type Stamp = (SystemTime, u64);

impl UsersFile {
    pub(super) fn open(path: &Path) -> Result<UsersFile, Failure> {
        // The stamp is taken first: the file is read again if it is written meanwhile.
        let stamp = stamp(path);
        Ok(UsersFile { path: path.to_owned(), stamp, users: Arc::new(read(path)?) })
    }

    /// Reads the users again if the file has changed; none if it has not.
    pub(super) fn changed(&mut self) -> Option<Result<Vec<User>, Failure>> {
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return None;
        }
        self.stamp = stamp;
        Some(read(&self.path))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The users of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<User>, Failure> {
    let wrong = |what: String| {
        Failure::Usage(format!("POLYCHRON_USERS names {}, which {what}", path.display()))
    };
    let text = private_file::read(path).map_err(|why| wrong(why.to_string()))?;
    parse(&text).map_err(wrong)
}

/// The users of a file's text, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<User>, String> {
    // TOML's full error repeats the line, which may hold a hash; its message alone does not.
    let users: Users = toml::from_str(text)
        .map_err(|error| format!("is not a file of users: {}", error.message()))?;
    let mut names = BTreeSet::new();
    for User { name, password, token, .. } in &users.user {
        if name.is_empty() {
            return Err("has a user without a name: give it a `name`".to_owned());
        }
        if !names.insert(name) {
            return Err(format!("has two users with the name `{name}`: remove or rename one"));
        }
        if password.is_none() && token.is_none() {
            return Err(format!(
                "gives user `{name}` neither a password nor a token: `polychron user new` makes one"
            ));
        }
        let is_hashed = password.as_ref().is_none_or(|password| secret::is_hash(password))
            && token.as_ref().is_none_or(|token| token.starts_with(secret::TOKEN));
        if !is_hashed {
            return Err(format!(
                "has a password or token of user `{name}` that is not a hash: `polychron user new` makes one"
            ));
        }
    }
    match users.user.is_empty() {
        true => Err("lists no user: `polychron user new` makes an entry".to_owned()),
        false => Ok(users.user),
    }
}
