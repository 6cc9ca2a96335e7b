//! The whole product in one process, with three tenants: `cargo run -p saas`. Stop it with Ctrl-C. Its
//! files are in `saas-data`, where the CLI can read them, too.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use polychron_embedded::{DataFolder, Engine, Stopped};
use shared::config;
use shared::id::ExecutionId;
use shared::shutdown::Shutdown;
use shared::store::{ExecutionFilter, Store};

const ABOUT: &str = "An example: invoices for three tenants.";
const TENANTS: [(&str, &str); 3] =
    [("acme", "Acme Corporation"), ("globex", "Globex"), ("initech", "Initech")];

#[tokio::main]
async fn main() -> Result<()> {
    let config = config::read("saas", ABOUT, &[]);
    shared::logging::start("error", config.log_format, true);
    let folder = DataFolder::open(Path::new("saas-data"))?;
    folder.begin_demonstration().await?;
    let engine = Engine::new(&folder, config).await?;
    let mut stores = Vec::new();
    for (slug, name) in TENANTS {
        stores.push((slug, engine.add_tenant(&folder, slug, name).await?));
        let url = folder.tenant_url(slug);
        saas::database::make_tables(url.expose()).await?;
        saas::database::add_jobs(url.expose()).await?;
    }
    let shutdown = Shutdown::on_signals()?;
    let running = engine.run(saas::handlers(), shutdown.clone());
    let (stopped, shown) = tokio::join!(running, show(&stores, &shutdown));
    shown?;
    anyhow::ensure!(stopped? == Stopped::AllWritten, "something was left running");
    Ok(())
}

/// Prints executions that have ended, until asked to stop.
async fn show(stores: &[(&str, Arc<Store>)], shutdown: &Shutdown) -> Result<()> {
    let mut seen: BTreeSet<ExecutionId> = BTreeSet::new();
    while !shutdown.drain.is_cancelled() {
        for (slug, store) in stores {
            let rows = store.list_executions(&ExecutionFilter::default(), 50).await?;
            for row in rows.iter().rev().filter(|row| row.status.is_final()) {
                if seen.insert(row.id) {
                    let job = row.job_name.as_deref().unwrap_or_default();
                    let said = row.error_message.as_deref().or(row.output.as_deref());
                    let said = said.unwrap_or_default().trim_end();
                    #[expect(clippy::print_stdout, reason = "the example shows its results")]
                    {
                        println!("{slug:<8} {job:<12} {:<8} {said}", row.status);
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}
