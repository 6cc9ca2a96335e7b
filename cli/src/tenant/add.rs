//! `polychron tenant add`.

use clap::Args;
use shared::database_url::DatabaseUrl;
use shared::environment;
use shared::store::Views;
use shared::tenant::TenantStatus;

use super::show;
use crate::input;
use crate::output::say;
use crate::session::Session;
use operations::change::Change;
use operations::failure::Failure;
use operations::input::{schema, slug};
use operations::tenant::{Added, NewTenant, Owned};

/// The environment variable with the new tenant's database URL.
const DATABASE_URL: &str = "TENANT_DATABASE_URL";

#[derive(Args)]
pub struct Add {
    /// The slug, by which commands name the tenant: 1 to 63 of a-z, 0-9 and -
    #[arg(value_parser = slug)]
    slug: String,
    /// The full name; the slug by default
    #[arg(long)]
    name: Option<String>,
    /// The most executions of the tenant at once; no limit by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    max_running: Option<i32>,
    /// A file that holds the database URL; `-` is standard input
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<String>,
    /// Claim a database even if it names another tenant, such as a restored copy
    #[arg(long)]
    adopt: bool,
    /// List it as suspended: none of its jobs run before `polychron tenant resume`
    #[arg(long)]
    suspended: bool,
    /// The PostgreSQL schema for its tables, created if it does not exist; by default the one in which
    /// its role creates tables
    #[arg(long, value_name = "NAME", value_parser = schema)]
    schema: Option<String>,
    /// Also create the views `job` and `job_execution`, for reading only
    #[arg(long)]
    views: bool,
}

pub(crate) async fn run(arguments: Add, session: &Session) -> Result<(), Failure> {
    let Add { slug, name, max_running, database_url_file, adopt, suspended, schema, views } =
        arguments;
    let new = NewTenant {
        slug,
        name,
        database_url: database_url(database_url_file.as_deref())?,
        schema,
        max_running,
        views: if views { Views::Make } else { Views::Leave },
        owned: if adopt { Owned::Adopt } else { Owned::Reject },
        status: if suspended { TenantStatus::Suspended } else { TenantStatus::Active },
    };
    match operations::tenant::add(&session.context, &session.actor, new).await? {
        Change::Made(Added { tenant, was_listed }) => {
            if was_listed {
                say(&format!("tenant {} is listed already; its entry is unchanged", tenant.slug));
            }
            show(&tenant, session).await
        }
        Change::WouldMake(dry_run) => session.show_dry_run(&dry_run),
    }
}

/// A tenant's database URL: from the file, else from the environment, else from standard input.
pub(super) fn database_url(file: Option<&str>) -> Result<DatabaseUrl, Failure> {
    let (place, text) = match (file, environment::variable(DATABASE_URL)) {
        (Some("-"), _) => ("standard input", input::read_stdin("--database-url-file")?),
        (Some(path), _) => {
            ("--database-url-file", input::read_private_file("--database-url-file", path)?)
        }
        (None, Some(text)) => (DATABASE_URL, text),
        (None, None) => {
            let prompt = "The tenant's database URL, postgres:// or sqlite://, then Enter:";
            ("standard input", input::read_secret("standard input", prompt)?)
        }
    };
    // The input is never quoted, even if it is no URL.
    text.parse()
        .map_err(|error| Failure::Usage(format!("the tenant's database URL ({place}) {error}")))
}
