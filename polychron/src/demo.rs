//! `polychron demo`: the embedded engine with three sample tenants, whose jobs succeed, take long,
//! retry, fail, time out and panic, and a stream of their executions.

mod sample;
mod stream;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use consumer::{Registry, diagnostic};
use embedded::{DataFolder, Engine};
use shared::clock::Clock;
use shared::config::Config;
use shared::shutdown::Shutdown;
use shared::store::Store;

use crate::serve;
use cli::output::say;
use operations::follow::Follower;
use sample::{TENANTS, jobs};
use stream::{Stream, Summary};

/// How often the rows are read for the stream.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How long running jobs may take to end when the demo does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the demo, for `length` or until asked to stop, and shows a summary. Data that an earlier demo
/// left in the folder is removed first.
///
/// # Errors
/// When the folder cannot be used, or has data that no demo made.
pub(crate) async fn run(
    folder: &Path,
    mut config: Config,
    length: Option<Duration>,
    with_dashboard: bool,
    colour: bool,
) -> Result<()> {
    let folder = DataFolder::open(folder)?;
    folder.begin_demonstration().await?;
    config.drain_timeout = DRAIN_TIMEOUT;
    let engine = Engine::new(&folder, config.clone()).await?;
    let stores = add_tenants(&folder, &engine).await?;
    let mut registry = Registry::default();
    diagnostic::register(&mut registry, &Clock::System);

    say(&format!(
        "Three tenants, each with an SQLite database of its own below {}",
        folder.path().display()
    ));
    let dashboard = match with_dashboard {
        true => serve::of_engine(&engine, &folder, config).await,
        false => None,
    };
    match length {
        Some(length) => {
            let length = humantime::format_duration(length);
            say(&format!("Running for {length}; Ctrl-C ends it sooner."));
        }
        None => say("Running until Ctrl-C."),
    }
    let shutdown = Shutdown::on_signals()?;
    let mut stream = Stream::new(colour);
    let running = engine.run(registry, shutdown.clone());
    let followed = follow(&stores, &mut stream, &shutdown, length);
    let serving = serve::beside(dashboard, &shutdown);
    let (stopped, followed, ()) = tokio::join!(running, followed, serving);
    stopped?;
    let (mut followers, mut summaries) = followed?;
    // What happened while the engine stopped.
    show_changes(&mut followers, &mut stream, &mut summaries).await?;
    stream.summary(&summaries)?;
    say("\nThe data is still there. Look at it with");
    say(&format!("    export DATABASE_URL={}", folder.control_url().expose()));
    say(&format!("    polychron execution list {}", TENANTS[0].0));
    Ok(())
}

/// Makes the tenants and their jobs.
async fn add_tenants(folder: &DataFolder, engine: &Engine) -> Result<Vec<(String, Arc<Store>)>> {
    let mut stores = Vec::new();
    for (slug, name) in TENANTS {
        let store = engine.add_tenant(folder, slug, name).await?;
        for job in jobs(slug) {
            store.insert_job(&job).await?;
        }
        stores.push((slug.to_owned(), store));
    }
    Ok(stores)
}

type Followers = Vec<(String, Follower)>;

/// Shows what happens until it is time to stop, then stops the engine.
async fn follow(
    stores: &[(String, Arc<Store>)],
    stream: &mut Stream,
    shutdown: &Shutdown,
    length: Option<Duration>,
) -> Result<(Followers, BTreeMap<String, Summary>)> {
    let mut followers: Followers = stores
        .iter()
        .map(|(slug, store)| (slug.clone(), Follower::new(store.clone(), None)))
        .collect();
    let mut summaries = stores.iter().map(|(slug, _)| (slug.clone(), Summary::default())).collect();
    let over = async {
        match length {
            Some(length) => Clock::System.sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = Clock::System.sleep(FOLLOW_EVERY) => {}
            () = &mut over => break,
            () = shutdown.drain.cancelled() => break,
        }
        let shown = show_changes(&mut followers, stream, &mut summaries).await;
        if let Err(error) = shown {
            shutdown.drain.cancel();
            return Err(error);
        }
    }
    shutdown.drain.cancel();
    Ok((followers, summaries))
}

async fn show_changes(
    followers: &mut Followers,
    stream: &mut Stream,
    summaries: &mut BTreeMap<String, Summary>,
) -> Result<()> {
    for (slug, follower) in followers {
        for row in follower.read_changes().await? {
            summaries.entry(slug.clone()).or_default().add(&row);
            stream.show(slug, &row)?;
        }
    }
    Ok(())
}
