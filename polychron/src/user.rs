//! `polychron user new` and `revoke`: the entries of the file that says who may use dashboard and API.

use std::collections::BTreeSet;
use std::io::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use cli::Request;
use cli::input::read_secret;
use cli::output::say;
use operations::failure::Failure;
use shared::config::{Config, Problems};
use web::user::{Role, User};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Write an entry for the file of users (POLYCHRON_USERS) to standard output
    ///
    /// The password is read from standard input; only its hash is written. With --token, a token for
    /// the API is created instead, and shown once.
    #[command(after_help = "Examples:
  umask 077     # a file that everybody can read is refused
  polychron user new ann --role operator >> users.toml
  polychron user new support --role viewer --tenant acme >> users.toml
  polychron user new deploy --role operator --token >> users.toml")]
    New(New),
    /// End all sessions of a user, and refuse their password and token from now on
    ///
    /// Marks the user's entry in the file of users (POLYCHRON_USERS) as revoked. Every `polychron serve`
    /// that reads this file sees it within two seconds. To let the user in again, replace the entry by
    /// a new one.
    #[command(after_help = "Example:
  polychron user revoke ann --users /etc/polychron/users.toml")]
    Revoke {
        /// The user's name
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct New {
    /// The name for signing in, and in the audit
    name: String,
    /// What they may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// A tenant they may see; may be repeated; all by default
    #[arg(long = "tenant", value_name = "SLUG")]
    tenants: Vec<String>,
    /// Create a token for a program instead of a password for a person
    #[arg(long)]
    token: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    /// Read everything
    Viewer,
    /// Read and change everything
    Operator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Viewer => Role::Viewer,
            RoleName::Operator => Role::Operator,
        }
    }
}

/// `config` names the file of users.
pub(crate) fn run(
    verb: Verb,
    config: Result<Config, Problems>,
    request: &Request,
) -> Result<(), Failure> {
    match verb {
        Verb::New(arguments) => new(arguments),
        Verb::Revoke { name } => {
            let missing = "name the file of users by --users or POLYCHRON_USERS";
            let file = config?.users.ok_or_else(|| Failure::Usage(missing.to_owned()))?;
            if request.dry_run {
                web::revoke::find(&file, &name)?;
                say(&format!("nothing was changed: --dry-run; would revoke user {name}"));
                return Ok(());
            }
            web::revoke::revoke(&file, &name)?;
            say(&format!(
                "user {name} is revoked: sessions, password and token end within two seconds \
                 wherever {} is used",
                file.display()
            ));
            Ok(())
        }
    }
}

fn new(New { name, role, tenants, token }: New) -> Result<(), Failure> {
    let tenants: BTreeSet<String> = tenants.into_iter().collect();
    let tenants = (!tenants.is_empty()).then_some(tenants);
    let user = if token {
        let (user, token) = User::with_token(name, role.into(), tenants);
        say(&format!("The token, which is shown this once:\n    {token}"));
        user
    } else {
        let password = read_secret("the password", "The password, then Enter:")?;
        User::with_password(name, role.into(), tenants, &password)?
    };
    let written = std::io::stdout().write_all(user.entry().as_bytes());
    written.map_err(|error| Failure::Failed(format!("standard output: {error}")))
}
