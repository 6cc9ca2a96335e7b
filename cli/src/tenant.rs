//! `polychron tenant …`: the tenants and their databases.

mod add;
mod notify;

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::store::TenantEdit;
use shared::tenant::{Tenant, TenantStatus};

use crate::input::confirm;
use crate::output::{Column, column, maybe, say, time};
use crate::session::Session;
use operations::change::Change;
use operations::failure::Failure;
use operations::input::schema;
use operations::tenant::{InspectedTenant, Removal, TenantView, Unreachable, inspect};

#[derive(Subcommand)]
pub enum Verb {
    /// Add a tenant: migrate its database, claim it for the tenant, and list the tenant
    ///
    /// The database's URL may hold a password, so it comes from TENANT_DATABASE_URL in the
    /// environment, a file, or standard input. If it was interrupted, run it again to finish the
    /// work.
    #[command(after_help = "Examples:
  TENANT_DATABASE_URL=postgres://… polychron tenant add acme --name 'Acme Ltd'
  polychron tenant add acme --database-url-file /run/secrets/acme --max-running 10
  polychron tenant add acme --schema polychron --views < url   # PostgreSQL: in a schema of its own
  echo sqlite:///var/lib/acme.db | polychron tenant add acme
  polychron tenant add acme-restored --adopt --suspended < url    # a copy that names another tenant")]
    Add(add::Add),
    /// List the tenants
    #[command(after_help = "Example:\n  polychron tenant list -o json")]
    List,
    /// Show a tenant, the state of its database, and what is open there
    #[command(after_help = "Example:\n  polychron tenant show acme")]
    Show(Named),
    /// Change a tenant's name, limit, database URL or schema
    #[command(after_help = "Examples:
  polychron tenant edit acme --max-running 20
  polychron tenant edit acme --max-running none
  polychron tenant edit acme --database-url-file /run/secrets/acme   # after a new password")]
    Edit(Edit),
    /// Set whom to notify when one of a tenant's jobs fails for good, is late or recovers
    ///
    /// This applies to jobs without a target of their own (`polychron job edit --notify`).
    #[command(after_help = "Examples:
  polychron tenant notify acme https://hooks.example/polychron
  polychron tenant notify acme '{\"url\": {\"$secret\": \"HOOK_URL\"}, \"on\": [\"failed\", \"recovered\"]}'
  polychron tenant notify acme off")]
    Notify(notify::Notify),
    /// Suspend a tenant: no new executions start, running ones may end
    #[command(after_help = "Example:\n  polychron tenant suspend acme")]
    Suspend(Named),
    /// Resume a suspended tenant
    #[command(after_help = "Example:\n  polychron tenant resume acme")]
    Resume(Named),
    /// Remove a tenant from the list and release its database; its jobs and their history stay there
    #[command(after_help = "Examples:
  polychron tenant remove acme
  polychron tenant remove acme -y --forget    # its database is gone for good")]
    Remove(Remove),
}

#[derive(Args)]
pub struct Named {
    /// The slug of the tenant
    slug: String,
}

#[derive(Args)]
pub struct Edit {
    /// The slug of the tenant
    slug: String,
    /// The full name
    #[arg(long)]
    name: Option<String>,
    /// The most executions of the tenant at once, or `none`
    #[arg(long, value_name = "N", value_parser = limit)]
    max_running: Option<Limit>,
    /// A file that holds the new database URL; `-` is standard input
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<String>,
    /// The PostgreSQL schema in which its tables are
    #[arg(long, value_name = "NAME", value_parser = schema)]
    schema: Option<String>,
}

#[derive(Args)]
pub struct Remove {
    /// The slug of the tenant
    slug: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Remove it even if its database cannot be reached, which then still names the tenant
    #[arg(long)]
    forget: bool,
}

/// `max_running`, or none.
#[derive(Clone, Copy)]
struct Limit(Option<i32>);

fn limit(text: &str) -> Result<Limit, String> {
    match text.parse::<i32>() {
        _ if text == "none" => Ok(Limit(None)),
        Ok(number) if number >= 1 => Ok(Limit(Some(number))),
        _ => Err("it must be a whole number of at least 1, or `none`".to_owned()),
    }
}

const COLUMNS: &[Column<TenantView>] = &[
    column("SLUG", |tenant| tenant.slug.clone()),
    column("NAME", |tenant| tenant.name.clone()),
    column("STATUS", |tenant| tenant.status.to_string()),
    column("MAX RUNNING", |tenant| maybe(tenant.max_running)),
    column("DATABASE", |tenant| tenant.database_url.clone()),
    column("SCHEMA", |tenant| maybe(tenant.schema.as_ref())),
];

const FIELDS: &[Column<InspectedTenant>] = &[
    column("slug", |shown| shown.tenant.slug.clone()),
    column("name", |shown| shown.tenant.name.clone()),
    column("id", |shown| shown.tenant.id.to_string()),
    column("status", |shown| shown.tenant.status.to_string()),
    column("max running", |shown| maybe(shown.tenant.max_running)),
    column("database", |shown| shown.tenant.database_url.clone()),
    column("schema", |shown| maybe(shown.tenant.schema.as_ref())),
    column("problem", |shown| maybe(shown.problem.as_ref())),
    column("dispatched", |shown| maybe(shown.dispatched)),
    column("running", |shown| maybe(shown.running)),
    column("waiting", |shown| maybe(shown.waiting)),
    column("next due", |shown| time(shown.next_due_at)),
    column("created", |shown| time(Some(shown.tenant.created_at))),
    column("updated", |shown| time(Some(shown.tenant.updated_at))),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::Add(arguments) => add::run(arguments, session).await,
        Verb::List => list(session).await,
        Verb::Show(Named { slug }) => show(&session.context.tenant(&slug).await?, session).await,
        Verb::Edit(arguments) => edit(arguments, session).await,
        Verb::Notify(arguments) => notify::run(arguments, session).await,
        Verb::Suspend(Named { slug }) => switch(&slug, TenantStatus::Suspended, session).await,
        Verb::Resume(Named { slug }) => switch(&slug, TenantStatus::Active, session).await,
        Verb::Remove(arguments) => remove(arguments, session).await,
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let tenants = session.context.control.list_tenants().await.map_err(Failure::control)?;
    let shown: Vec<TenantView> = tenants.iter().map(TenantView::from).collect();
    session.output.list(&shown, COLUMNS)
}

async fn show(tenant: &Tenant, session: &Session) -> Result<(), Failure> {
    session.output.record(&inspect(&session.context, tenant).await, FIELDS)
}

async fn edit(arguments: Edit, session: &Session) -> Result<(), Failure> {
    let Edit { slug, name, max_running, database_url_file, schema } = arguments;
    if name.is_none() && max_running.is_none() && database_url_file.is_none() && schema.is_none() {
        let text = "nothing to change: give --name, --max-running, --database-url-file or --schema";
        return Err(Failure::Usage(text.to_owned()));
    }
    let tenant = session.context.tenant(&slug).await?;
    let database_url = match &database_url_file {
        Some(path) => Some(add::database_url(Some(path))?),
        None => None,
    };
    let max_running = max_running.map(|Limit(limit)| limit);
    let edit = TenantEdit { name, max_running, database_url, schema, ..TenantEdit::default() };
    change(&tenant, &edit, session).await
}

async fn switch(slug: &str, status: TenantStatus, session: &Session) -> Result<(), Failure> {
    let tenant = session.context.tenant(slug).await?;
    if tenant.status == status {
        say(&format!("tenant {slug} is {status} already"));
        return show(&tenant, session).await;
    }
    change(&tenant, &TenantEdit { status: Some(status), ..TenantEdit::default() }, session).await
}

async fn change(tenant: &Tenant, edit: &TenantEdit, session: &Session) -> Result<(), Failure> {
    let Session { context, actor, .. } = session;
    match operations::tenant::edit(context, actor, tenant, edit).await? {
        Change::Made(tenant) => show(&tenant, session).await,
        Change::WouldMake(dry_run) => session.show_dry_run(&dry_run),
    }
}

#[derive(Serialize)]
struct Removed {
    removed: String,
    database_url: String,
    /// Whether the database no longer names the tenant.
    released: bool,
}

const REMOVED: &[Column<Removed>] = &[
    column("removed", |removed| removed.removed.clone()),
    column("database", |removed| removed.database_url.clone()),
];

async fn remove(arguments: Remove, session: &Session) -> Result<(), Failure> {
    let Remove { slug, yes, forget } = arguments;
    let Session { context, actor, .. } = session;
    let removal = Removal::of(context, &slug).await?;
    let stays = removal.describe();
    if !actor.is_dry_run() {
        confirm(yes, &format!("Removing tenant {slug}: {stays}."))?;
    }
    let unreachable = if forget { Unreachable::Forget } else { Unreachable::Keep };
    let change = removal.make(context, actor, unreachable).await.inspect_err(|_| {
        if !forget {
            say("the tenant was not removed; --forget removes it without its database");
        }
    })?;
    if let Change::Made(removed) = &change {
        if let Some(reason) = &removed.still_owned {
            say(&format!("its database still names it: {reason}"));
        }
        say(&format!("tenant {slug} is removed; {stays}"));
    }
    let shown = change.map(|operations::tenant::Removed { tenant, still_owned }| Removed {
        removed: tenant.slug,
        database_url: tenant.database_url.to_string(),
        released: still_owned.is_none(),
    });
    session.show_change(shown, REMOVED)
}
