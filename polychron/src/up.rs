//! `polychron up`: the embedded engine over a data folder, for small real use.

use std::path::Path;

use anyhow::{Result, ensure};
use consumer::{Registry, Stopped};
use embedded::{DataFolder, Engine};
use shared::config::Config;
use shared::shutdown::Shutdown;
use shared::store::{Schema, chain, migrate};
use tracing::warn;

use crate::serve;
use cli::output::say;

/// Runs until asked to stop.
///
/// # Errors
/// When the folder or its control database cannot be used, or something was left running.
pub(crate) async fn run(folder: &Path, config: Config, with_dashboard: bool) -> Result<()> {
    let folder = DataFolder::open(folder)?;
    let engine = Engine::new(&folder, config.clone()).await?;
    let tenants = engine.tenants.control().list_tenants().await?;
    for tenant in &tenants {
        // A tenant that cannot be migrated doesn't run; the others do.
        if let Err(error) = migrate(&tenant.database_url, Schema::Tenant).await {
            warn!(
                tenant = tenant.slug,
                "the tenant's database cannot be migrated: {}",
                chain(&error)
            );
        }
    }
    say(&format!("Polychron is up. Its data is in {}", folder.path().display()));
    let control = folder.control_url();
    say(&format!("Other commands reach it with  export DATABASE_URL={}", control.expose()));
    if tenants.is_empty() {
        let url = folder.tenant_url("acme");
        say("It has no tenant yet. Add one with");
        say(&format!("    TENANT_DATABASE_URL={} polychron tenant add acme", url.expose()));
    }
    let dashboard = match with_dashboard {
        true => serve::of_engine(&engine, &folder, config).await,
        false => None,
    };
    let shutdown = Shutdown::on_signals()?;
    let serving = serve::beside(dashboard, &shutdown);
    let (stopped, ()) = tokio::join!(engine.run(Registry::default(), shutdown.clone()), serving);
    ensure!(
        stopped? == Stopped::AllWritten,
        "not every execution could be given back; their leases will run out"
    );
    Ok(())
}
