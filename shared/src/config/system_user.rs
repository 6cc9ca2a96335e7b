//! A user of the operating system.

use std::str::FromStr;

/// A user and a group, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemUser {
    /// The user's id.
    pub user: u32,
    /// The group's id.
    pub group: u32,
}

impl FromStr for SystemUser {
    type Err = String;

    /// Reads `UID:GID`, or a name in `/etc/passwd`.
    fn from_str(text: &str) -> Result<SystemUser, String> {
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let numbers = text.split_once(':').and_then(|(user, group)| from_ids(user, group));
        let found = numbers.or_else(|| accounts.lines().find_map(|line| from_account(line, text)));
        found.ok_or_else(|| "is neither UID:GID nor a name in /etc/passwd".to_owned())
    }
}

fn from_ids(user: &str, group: &str) -> Option<SystemUser> {
    Some(SystemUser { user: user.parse().ok()?, group: group.parse().ok()? })
}

fn from_account(line: &str, name: &str) -> Option<SystemUser> {
    let mut fields = line.split(':');
    if name.is_empty() || fields.next()? != name {
        return None;
    }
    from_ids(fields.nth(1)?, fields.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_pair_of_ids_or_a_name() {
        let root = Ok(SystemUser { user: 0, group: 0 });
        assert_eq!("root".parse(), root);
        assert_eq!("0:0".parse(), root);
        assert_eq!("10001:33".parse(), Ok(SystemUser { user: 10001, group: 33 }));
        for wrong in ["", "no such user", "1", "1:", "-1:0", "root:root", "4294967296:0"] {
            assert!(wrong.parse::<SystemUser>().is_err(), "{wrong}");
        }
    }
}
