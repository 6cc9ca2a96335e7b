//! Migrates the control database, then every tenant's, a few at once, continuing past those that fail.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Clock;
use shared::config::Config;
use shared::store::{
    Connections, Control, Migrated, Migration, OldProgram, Schema, Store, StoreError, TenantEdit,
    Views,
};
use shared::tenant::Tenant;

use crate::context;
use crate::failure::{Failure, reason};
use crate::step::Step;

/// How many databases are migrated at once.
const AT_ONCE: usize = 4;

/// The version of the control database from which on this program can read its list of tenants.
const LISTS_TENANTS: i64 = 4;
/// How long to wait for programs of an earlier version to stop: longer than the row of one that was
/// killed shows it as running.
pub const STOP_LIMIT: Duration = Duration::from_secs(70);
/// How often to check whether they have stopped.
const STOP_POLL: Duration = Duration::from_secs(1);

/// What to migrate, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The only tenant whose database is migrated, after the control database; none: every tenant's.
    pub tenant: Option<String>,
    /// Whether tenants' databases get the read-only views.
    pub views: Views,
    /// What to do about programs of an earlier version.
    pub old_programs: OldPrograms,
    /// Whether to migrate at all.
    pub mode: Mode,
}

/// What to do about running programs that cannot use the new schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldPrograms {
    /// Wait for them to stop, and fail after [`STOP_LIMIT`].
    Wait,
    /// The operator says that they have stopped.
    HaveStopped,
}

/// Whether to migrate, or only to say what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Migrate.
    Apply,
    /// A dry run.
    Preview,
}

/// The progress of a migration.
pub enum Event {
    /// It waits for these programs to stop.
    Waiting(Vec<OldProgram>),
    /// How far it has come.
    Step(Step),
}

/// What became of all databases.
pub struct Migrations {
    /// The control database first.
    pub databases: Vec<MigratedDatabase>,
    /// Whether the tenants could be listed.
    pub tenants: TenantList,
}

/// Whether the tenants could be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantList {
    /// They could.
    Read,
    /// A dry run cannot read the list before the control database is migrated.
    NeedsMigration,
    /// The control database is new, so there are none.
    New,
}

impl Migrations {
    /// How many databases could not be migrated.
    pub fn failed(&self) -> usize {
        self.databases.iter().filter(|database| database.problem.is_some()).count()
    }
}

/// What became of one database.
#[derive(Clone, Debug, Serialize)]
pub struct MigratedDatabase {
    /// The tenant; none for the control database.
    pub tenant: Option<String>,
    /// Its URL without user, password and parameters.
    pub database: String,
    /// The version before; 0 if it was empty.
    pub from: Option<i64>,
    /// The version now.
    pub to: Option<i64>,
    /// Why it could not be migrated.
    pub problem: Option<String>,
}

/// Migrates what is requested. Calls `on_event` as it advances.
///
/// # Errors
/// If the control database cannot be migrated. The failures of tenants are in the result.
pub async fn migrate(
    config: &Config,
    request: &Request,
    mut on_event: impl FnMut(Event),
) -> Result<Migrations, Failure> {
    let connections = Connections::within(Clock::System, config.connections);
    let control = context::control(config, &connections)?;
    let migrated = migrate_control(config, request, &control, &mut on_event).await?;
    let list = match request.mode {
        Mode::Preview if migrated.from == 0 => TenantList::New,
        Mode::Preview if migrated.from < LISTS_TENANTS => TenantList::NeedsMigration,
        Mode::Preview | Mode::Apply => TenantList::Read,
    };
    let tenants = match list {
        TenantList::Read => tenants(&control, request.tenant.as_deref()).await?,
        TenantList::NeedsMigration | TenantList::New => Vec::new(),
    };
    let mut step = Step::new("migrating", tenants.len());
    on_event(Event::Step(step));
    let url = config.database_url.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut databases = vec![database(None, url, Ok(migrated))];
    let migrate = |tenant| migrate_tenant(tenant, &control, &connections, request);
    let mut each = stream::iter(tenants).map(migrate).buffered(AT_ONCE);
    while let Some(database) = each.next().await {
        databases.push(database);
        step.done += 1;
        on_event(Event::Step(step));
    }
    Ok(Migrations { databases, tenants: list })
}

async fn migrate_control(
    config: &Config,
    request: &Request,
    control: &Control,
    on_event: &mut impl FnMut(Event),
) -> Result<Migrated, Failure> {
    let url = config.database_url.as_ref();
    let url = url.ok_or_else(|| Failure::Usage("DATABASE_URL is not set".to_owned()))?;
    let migration = Migration { url, schema: Schema::Control, within: None, views: Views::Leave };
    if request.mode == Mode::Preview {
        return migration.preview().await.map_err(Failure::control);
    }
    if request.old_programs == OldPrograms::Wait {
        let from = migration.preview().await.map_err(Failure::control)?.from;
        let running = async || control.old_programs(from).await;
        let left = until_stopped(&Clock::System, running, on_event).await;
        refuse_running(&left.map_err(Failure::control)?)?;
    }
    let migrated = migration.run().await.map_err(Failure::control)?;
    control.check_schema().await.map_err(Failure::control)?;
    Ok(migrated)
}

/// Waits for the programs that this migration would break. Returns those that still run when time is
/// up.
async fn until_stopped(
    clock: &Clock,
    running: impl AsyncFn() -> Result<Vec<OldProgram>, StoreError>,
    on_event: &mut impl FnMut(Event),
) -> Result<Vec<OldProgram>, StoreError> {
    let until = clock.boot_time() + STOP_LIMIT;
    let mut is_waiting = false;
    loop {
        let found = running().await?;
        if found.is_empty() || clock.boot_time() >= until {
            return Ok(found);
        }
        if !is_waiting {
            on_event(Event::Waiting(found));
            is_waiting = true;
        }
        clock.sleep(STOP_POLL).await;
    }
}

fn refuse_running(running: &[OldProgram]) -> Result<(), Failure> {
    if running.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "nothing was migrated: programs run that cannot use the new schema: {}. Stop them, or give \
         --stopped if they have stopped",
        names(running)
    )))
}

/// The names of programs, for messages.
pub fn names(programs: &[OldProgram]) -> String {
    programs.iter().map(OldProgram::to_string).collect::<Vec<_>>().join(", ")
}

async fn tenants(control: &Control, one: Option<&str>) -> Result<Vec<Tenant>, Failure> {
    let Some(slug) = one else {
        return control.list_tenants().await.map_err(Failure::control);
    };
    let found = control.find_tenant(slug).await.map_err(Failure::control)?;
    let unknown = || Failure::NotFound(context::unknown_tenant(slug));
    found.map(|tenant| vec![tenant]).ok_or_else(unknown)
}

async fn migrate_tenant(
    tenant: Tenant,
    control: &Control,
    connections: &Connections,
    request: &Request,
) -> MigratedDatabase {
    let migration = Migration::of(&tenant, request.views);
    let migrating = async {
        if request.mode == Mode::Preview {
            return migration.preview().await;
        }
        let migrated = migration.run().await?;
        // A missing file was created again, empty: that must not count as success.
        let now = Store::of(&tenant, connections)?.now().await?;
        if tenant.schema.is_none() && migrated.within.is_some() {
            // The role's default may change; where the tables are does not.
            let schema = migrated.within.clone();
            let edit = TenantEdit { schema, ..TenantEdit::default() };
            // If it was removed meanwhile, its schema does not matter.
            let _ = control.edit_tenant(tenant.id, &edit, now).await?;
        }
        Ok(migrated)
    };
    let migrated = migrating.await;
    database(Some(tenant.slug.clone()), tenant.database_url.to_string(), migrated)
}

fn database(
    tenant: Option<String>,
    database: String,
    migrated: Result<Migrated, StoreError>,
) -> MigratedDatabase {
    let (from, to, problem) = match migrated {
        Ok(Migrated { from, to, .. }) => (Some(from), Some(to), None),
        Err(error) => (None, None, Some(reason(&error))),
    };
    MigratedDatabase { tenant, database, from, to, problem }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use shared::clock::ManualClock;

    use super::*;

    /// Waits for a program that has stopped at the check with this number. Returns how many checks there
    /// were, and how many programs still ran.
    async fn wait(stops_at: u32) -> (u32, usize) {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let program = OldProgram { kind: "producer".to_owned(), host: "a".to_owned(), pid: 7 };
        let checks = Cell::new(0);
        let running = async || {
            checks.set(checks.get() + 1);
            Ok(if checks.get() < stops_at { vec![program.clone()] } else { Vec::new() })
        };
        let time_passes = async {
            loop {
                tokio::task::yield_now().await;
                manual.advance(STOP_POLL);
            }
        };
        let mut on_event = |_| ();
        let left = tokio::select! {
            left = until_stopped(&clock, running, &mut on_event) => left.unwrap(),
            () = time_passes => unreachable!(),
        };
        let said = refuse_running(&left).err().map(|failure| failure.to_string());
        assert_eq!(said.is_some(), !left.is_empty());
        assert!(
            said.is_none_or(|said| said.contains("producer 7 on a") && said.contains("--stopped"))
        );
        (checks.get(), left.len())
    }

    #[tokio::test]
    async fn a_migration_waits_for_old_programs_within_a_limit() {
        assert_eq!(wait(1).await, (1, 0));
        assert_eq!(wait(9).await, (9, 0));
        let (checks, left) = wait(1000).await;
        assert!(checks <= 71 && left == 1, "{checks} {left}");
    }
}
