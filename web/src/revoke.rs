//! Revoking a user: marks their entry in the file of users.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use operations::failure::Failure;
use serde::Deserialize;
use shared::private_file;
use toml::Spanned;

use crate::access::users_file;
use crate::user::User;

/// What is inserted after the name: a line of its own, or a field of an inline table.
const MARKS: [&str; 2] = ["\nrevoked = true", ", revoked = true"];

/// Where the names are in the file's text.
#[derive(Deserialize)]
struct Entries {
    user: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: Spanned<String>,
}

/// Checks that a file has an entry for a user who is not revoked yet.
///
/// # Errors
/// When it has none, or cannot be read.
pub fn find(file: &Path, name: &str) -> Result<(), Failure> {
    found(users_file::read(file)?, name).map(|_| ())
}

fn found(users: Vec<User>, name: &str) -> Result<Vec<User>, Failure> {
    match users.iter().find(|user| user.name == name) {
        None => Err(Failure::NotFound(format!("the file of users has no user `{name}`"))),
        Some(user) if user.revoked => {
            Err(Failure::Conflict(format!("user `{name}` is revoked already")))
        }
        Some(_) => Ok(users),
    }
}

/// Marks a user's entry as revoked. The rest of the file, comments included, stays as it is.
///
/// # Errors
/// When the file has no such user, or cannot be read or replaced.
pub fn revoke(file: &Path, name: &str) -> Result<(), Failure> {
    let users = found(users_file::read(file)?, name)?;
    let text = private_file::read(file)
        .map_err(|why| Failure::Failed(format!("{}, which {why}", file.display())))?;
    let revoked = marked(&text, name, users).ok_or_else(|| {
        let text = "write `revoked = true` into the entry by hand: its form is not understood";
        Failure::Failed(format!("{}: {text}", file.display()))
    })?;
    replace(file, &revoked)
        .map_err(|error| Failure::Failed(format!("{} cannot be replaced: {error}", file.display())))
}

/// The file's text with a user marked. The result is parsed again: the entries of all other users
/// must be unchanged.
fn marked(text: &str, name: &str, mut users: Vec<User>) -> Option<String> {
    let Entries { user } = toml::from_str(text).ok()?;
    let at = user.iter().find(|entry| entry.name.get_ref() == name)?.name.span().end;
    let (before, after) = text.split_at_checked(at)?;
    for user in &mut users {
        user.revoked = user.revoked || user.name == name;
    }
    let candidates = MARKS.map(|mark| format!("{before}{mark}{after}"));
    candidates.into_iter().find(|text| users_file::parse(text).is_ok_and(|read| read == users))
}

/// Replaces a file's content at once, so that no reader sees half of it. It keeps owner and mode.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    // A link stays a link.
    let file = fs::canonicalize(file)?;
    let metadata = fs::metadata(&file)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = file.with_file_name(name);
    let written = (|| {
        let mut options = File::options();
        let mut writer = options.write(true).create_new(true).mode(0o600).open(&new)?;
        writer.write_all(text.as_bytes())?;
        let now = writer.metadata()?;
        if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
            chown(&new, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(metadata.mode() & 0o7777);
        writer.set_permissions(mode)?;
        writer.sync_all()?;
        fs::rename(&new, &file)
    })();
    if let Err(error) = &written
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256$00";

    #[test]
    fn only_that_users_entry_changes_whatever_the_form_of_the_file() {
        let table = format!(
            "# people\n[[user]]\nname = \"ann\" # on call\nrole = \"viewer\"\ntoken = \"{HASH}\"\n\n\
             [[user]]\nrole = \"operator\"\ntoken = \"{HASH}\"\nname = 'sue'"
        );
        let inline = format!(
            "user = [{{name = \"ann\", role = \"viewer\", token = \"{HASH}\"}}, {{role = \"operator\", \
             token = \"{HASH}\", name = \"sue\"}}]\n"
        );
        for text in [table, inline] {
            for name in ["ann", "sue"] {
                let users = users_file::parse(&text).unwrap();
                let marked = marked(&text, name, users).unwrap();
                let read = users_file::parse(&marked).unwrap();
                let revoked: Vec<&str> = read
                    .iter()
                    .filter(|user| user.revoked)
                    .map(|user| user.name.as_str())
                    .collect();
                assert_eq!(revoked, [name], "{marked}");
                assert_eq!(marked.contains("# on call"), text.contains("# on call"));
            }
        }
    }
}
