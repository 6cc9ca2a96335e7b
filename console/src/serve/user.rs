//! `polychron user new`: an entry for the file that says who may use dashboard and API.

use std::collections::BTreeSet;
use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::random::Random;

use super::access::{Role, User};
use super::secret::{self, hex};
use crate::input::read_secret;
use crate::operation::failure::Failure;
use crate::output::say;

/// A shorter password is refused.
const PASSWORD_CHARS_MIN: usize = 12;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Write an entry for the file that POLYCHRON_USERS names to standard output
    ///
    /// The password comes by standard input; only its hash is written. With --token a token for
    /// the API is made instead, and shown once.
    #[command(after_help = "Examples:
  polychron user new ann --role operator >> users.toml
  polychron user new support --role viewer --tenant acme >> users.toml
  polychron user new deploy --role operator --token >> users.toml")]
    New(New),
}

#[derive(Args)]
pub(crate) struct New {
    /// What the audit will call them
    name: String,
    /// What they may do
    #[arg(long, value_enum)]
    role: Role,
    /// The only tenants that they may see; may be repeated
    #[arg(long = "tenant", value_name = "SLUG")]
    tenants: Vec<String>,
    /// For a program, by a token, rather than for a person
    #[arg(long)]
    token: bool,
}

pub(crate) fn run(verb: Verb) -> Result<(), Failure> {
    let Verb::New(New { name, role, tenants, token }) = verb;
    let tenants: BTreeSet<String> = tenants.into_iter().collect();
    let tenants = (!tenants.is_empty()).then_some(tenants);
    let (password, token) =
        if token { (None, Some(new_token())) } else { (Some(password()?), None) };
    let user = User { name, role, tenants, password, token };
    let written = std::io::stdout().write_all(entry(&user).as_bytes());
    written.map_err(|error| Failure::Failed(format!("standard output: {error}")))
}

/// An entry of the file. A text is written in TOML as it is in JSON.
fn entry(user: &User) -> String {
    let User { name, role, tenants, password, token } = user;
    let role = role.as_str();
    let mut lines = vec![format!("name = {}", json!(name)), format!("role = {}", json!(role))];
    lines.extend(tenants.as_ref().map(|tenants| format!("tenants = {}", json!(tenants))));
    lines.extend(password.as_ref().map(|hash| format!("password = {}", json!(hash))));
    lines.extend(token.as_ref().map(|hash| format!("token = {}", json!(hash))));
    format!("[[user]]\n{}\n\n", lines.join("\n"))
}

/// Shows a token, and answers with its hash.
fn new_token() -> String {
    let token = format!("polychron_{}", hex(&Random::system().bytes::<32>()));
    say(&format!("The token, which is shown this once:\n    {token}"));
    secret::of_token(&token)
}

fn password() -> Result<String, Failure> {
    let text = read_secret("the password", "The password, then Enter:")?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.chars().count() < PASSWORD_CHARS_MIN {
        let text = format!("the password has less than {PASSWORD_CHARS_MIN} characters");
        return Err(Failure::Usage(text));
    }
    Ok(secret::of_password(password, Random::system().bytes::<16>()))
}

#[cfg(test)]
mod tests {
    use super::super::access::Users;
    use super::*;

    #[test]
    fn an_entry_is_read_back_whatever_the_name() {
        let user = User {
            name: "o'hara \"\\\u{e9}".to_owned(),
            role: Role::Viewer,
            tenants: Some(["acme".to_owned()].into()),
            password: Some("hash".to_owned()),
            token: None,
        };
        let Users { user: read } = toml::from_str(&entry(&user)).unwrap();
        assert_eq!((&read[0].name, read[0].role), (&user.name, user.role));
        assert_eq!((&read[0].tenants, &read[0].password), (&user.tenants, &user.password));
    }
}
