//! The users of dashboard and API: the entries of the file that `POLYCHRON_USERS` names.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use shared::random::Random;

use crate::secret::{self, hex};
use operations::failure::Failure;

/// A shorter password is refused.
const PASSWORD_CHARS_MIN: usize = 12;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read everything.
    Viewer,
    /// Read and change everything.
    Operator,
}

impl Role {
    /// Its name in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }
}

/// An entry of the file of users.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name for signing in, and in the audit.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The only tenants they may see; none: all.
    pub tenants: Option<BTreeSet<String>>,
    /// The hash of the password for the dashboard.
    pub password: Option<String>,
    /// The hash of the token for the API.
    pub token: Option<String>,
    /// Whether password, token and sessions are refused.
    #[serde(default)]
    pub revoked: bool,
}

/// The file of users.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Users {
    #[serde(default)]
    pub(crate) user: Vec<User>,
}

impl User {
    /// A user of the dashboard, with the hash of a password.
    ///
    /// # Errors
    /// When the password is too short.
    pub fn with_password(
        name: String,
        role: Role,
        tenants: Option<BTreeSet<String>>,
        password: &str,
    ) -> Result<User, Failure> {
        let password = password.trim_end_matches(['\r', '\n']);
        if password.chars().count() < PASSWORD_CHARS_MIN {
            let text = format!("the password has fewer than {PASSWORD_CHARS_MIN} characters");
            return Err(Failure::Usage(text));
        }
        let hash = secret::of_password(password, Random::system().bytes::<16>());
        Ok(User { name, role, tenants, password: Some(hash), token: None, revoked: false })
    }

    /// A user of the API, with the hash of a new token; and that token.
    pub fn with_token(
        name: String,
        role: Role,
        tenants: Option<BTreeSet<String>>,
    ) -> (User, String) {
        let token = format!("polychron_{}", hex(&Random::system().bytes::<32>()));
        let hash = secret::of_token(&token);
        (User { name, role, tenants, password: None, token: Some(hash), revoked: false }, token)
    }

    /// The entry of the file, as text. A string is written in TOML as it is in JSON.
    pub fn entry(&self) -> String {
        let User { name, role, tenants, password, token, revoked } = self;
        let role = role.as_str();
        let mut lines = vec![format!("name = {}", json!(name)), format!("role = {}", json!(role))];
        lines.extend(tenants.as_ref().map(|tenants| format!("tenants = {}", json!(tenants))));
        lines.extend(password.as_ref().map(|hash| format!("password = {}", json!(hash))));
        lines.extend(token.as_ref().map(|hash| format!("token = {}", json!(hash))));
        lines.extend(revoked.then(|| "revoked = true".to_owned()));
        format!("[[user]]\n{}\n\n", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_whatever_the_name() {
        let user = User {
            name: "o'hara \"\\\u{e9}".to_owned(),
            role: Role::Viewer,
            tenants: Some(["acme".to_owned()].into()),
            password: Some("hash".to_owned()),
            token: None,
            revoked: false,
        };
        let Users { user: read } = toml::from_str(&user.entry()).unwrap();
        assert_eq!((&read[0].name, read[0].role), (&user.name, user.role));
        assert_eq!((&read[0].tenants, &read[0].password), (&user.tenants, &user.password));
    }
}
