//! `polychron user new`: an entry for the file that says who may use dashboard and API.

use std::collections::BTreeSet;
use std::io::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use cli::input::read_secret;
use cli::output::say;
use operations::failure::Failure;
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

pub(crate) fn run(verb: Verb) -> Result<(), Failure> {
    let Verb::New(New { name, role, tenants, token }) = verb;
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
