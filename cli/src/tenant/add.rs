//! `polychron tenant add`, in an order that can be interrupted anywhere and run again.
//!
//! The database is migrated and its owner checked *before* the tenant is listed, so that a rejected
//! database leaves no trace. Then the tenant is listed, and only then is its database claimed: a
//! listed tenant with an unclaimed database is harmless (nothing runs, and `check` says why) and can
//! be found again by its slug, but a database claimed for an unlisted tenant would have to be
//! adopted by force.

use clap::Args;
use shared::database_url::DatabaseUrl;
use shared::environment;
use shared::id::TenantId;
use shared::store::{Guarded, Migration, StoreError, Views};
use shared::tenant::{Tenant, TenantStatus};

use super::show;
use crate::input;
use crate::output::say;
use crate::session::Session;
use operations::change::Change;
use operations::failure::Failure;
use operations::tenant::facts;

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
    /// The PostgreSQL schema for its tables, made if it isn't there; by default the one in which its
    /// role creates tables
    #[arg(long, value_name = "NAME", value_parser = schema)]
    schema: Option<String>,
    /// Also make the views `job` and `job_execution`, for reading only
    #[arg(long)]
    views: bool,
}

/// What PostgreSQL takes for a schema's name.
pub(super) fn schema(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && !text.starts_with("pg_")
        && !text.chars().any(char::is_control);
    match fits {
        true => Ok(text.to_owned()),
        false => Err("it must have 1 to 63 bytes and not begin with pg_".to_owned()),
    }
}

/// Only PostgreSQL has schemas.
pub(super) fn refuse_schema_of_file(
    url: &DatabaseUrl,
    schema: Option<&str>,
) -> Result<(), Failure> {
    match schema {
        Some(_) if url.is_sqlite() => {
            let text = "--schema: an SQLite database has no schemas; leave it out";
            Err(Failure::Usage(text.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The same rule as the control database's.
fn slug(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("it must be 1 to 63 of a-z, 0-9 and -, and begin with a letter or digit".to_owned())
    }
}

pub(crate) async fn run(arguments: Add, session: &Session) -> Result<(), Failure> {
    let url = database_url(arguments.database_url_file.as_deref())?;
    refuse_schema_of_file(&url, arguments.schema.as_deref())?;
    let Session { context, actor, .. } = session;
    let listed = context.control.find_tenant(&arguments.slug).await.map_err(Failure::control)?;
    let is_same = |tenant: &Tenant| {
        let same_schema = arguments.schema.is_none() || arguments.schema == tenant.schema;
        tenant.database_url == url && same_schema
    };
    let mut tenant = match &listed {
        Some(tenant) if is_same(tenant) => {
            say(&format!("tenant {} is listed already; it stays as it is there", tenant.slug));
            tenant.clone()
        }
        Some(tenant) => {
            return Err(Failure::Failed(format!(
                "SLUG: `{}` is taken by a tenant at {}; choose another, or change its URL or \
                 schema by `polychron tenant edit {0} --database-url-file FILE --schema NAME`",
                tenant.slug, tenant.database_url
            )));
        }
        None => fresh(&arguments, url, session).await?,
    };
    let within = prepare(&tenant, &arguments, session).await?;
    if listed.is_none() {
        // The role's default may change; where the tables are does not.
        tenant.schema = within;
    }
    let planned = actor.plan("tenant.add", &tenant, None, None).towards(facts(&tenant));
    let enter = async {
        if listed.is_none() {
            context.control.insert_tenant(&tenant).await.map_err(Failure::control)?;
        }
        let entered = match arguments.adopt {
            true => context.store(&tenant)?.replace_owner().await.map(|()| Guarded::Applied),
            false => context.store(&tenant)?.set_owner().await,
        };
        let entered = entered.map_err(|error| Failure::tenant(&tenant, error))?;
        // Another process may have claimed it for another tenant at the same moment.
        let given_away = || {
            Failure::Failed(format!(
                "tenant {}: its database was just given to another tenant; see `polychron check`",
                tenant.slug
            ))
        };
        entered.is_applied().then(|| ((), facts(&tenant))).ok_or_else(given_away)
    };
    match context.record_and_wake(planned, enter).await? {
        Change::Made(()) => show(&tenant, session).await,
        Change::WouldMake(dry_run) => session.show_dry_run(&dry_run),
    }
}

async fn fresh(arguments: &Add, url: DatabaseUrl, session: &Session) -> Result<Tenant, Failure> {
    let now = session.context.control.now().await.map_err(Failure::control)?;
    Ok(Tenant {
        id: TenantId::new(now.time(), &session.context.random),
        slug: arguments.slug.clone(),
        name: arguments.name.clone().unwrap_or_else(|| arguments.slug.clone()),
        status: TenantStatus::Active,
        database_url: url,
        schema: arguments.schema.clone(),
        max_running: arguments.max_running,
        created_at: now.time(),
        updated_at: now.time(),
    })
}

/// Brings the tenant's database up to date, unless it names another tenant. Returns the PostgreSQL
/// schema that holds its tables.
async fn prepare(
    tenant: &Tenant,
    arguments: &Add,
    session: &Session,
) -> Result<Option<String>, Failure> {
    let of_tenant = |error| Failure::tenant(tenant, error);
    let migration = Migration::of(tenant, if arguments.views { Views::Make } else { Views::Leave });
    let found = migration.preview().await.map_err(of_tenant)?;
    // Another installation's programs may not survive what a migration does, so ask first. A database
    // without our tables names no one.
    if found.from > 0 {
        let owner = session.context.store(tenant)?.owner().await.map_err(of_tenant)?;
        if let Some(owner) = owner.filter(|owner| *owner != tenant.id && !arguments.adopt) {
            return Err(of_tenant(StoreError::Owned(owner)));
        }
    }
    if session.actor.is_dry_run() {
        return Ok(found.within);
    }
    Ok(migration.run().await.map_err(of_tenant)?.within)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_checked_before_anything_is_done() {
        for (text, fits) in [
            ("acme", true),
            ("0-day", true),
            (&"x".repeat(63), true),
            (&"x".repeat(64), false),
            ("-acme", false),
            ("Acme", false),
            ("a_b", false),
            ("", false),
        ] {
            assert_eq!(slug(text).is_ok(), fits, "{text}");
        }
    }
}
