//! Handler processes: programs in any language that handle job types, started by the consumer.
//!
//! The consumer talks to them over a protocol (docs/handler-protocol.md). Everything that Polychron
//! guarantees is implemented in the consumer, and the processes never access the tables of jobs. In the
//! life of a job: `worker.rs` reserves a place in a process before it claims a row, and `executor.rs` runs
//! [`handler`] like any other handler.
//!
//! ```text
//! worker ─► Handlers ─► pool (one for each command) ◄─ supervisor ─► process (one task for each)
//! ```

mod command;
mod handler;
mod pipe;
mod pool;
mod process;
mod process_log;
mod protocol;
mod restarts;
mod run;
mod supervisor;
mod types;
mod waiting_queue;

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use launcher::Launcher;
use shared::clock::Clock;
use shared::config::Config;
use shared::handler_status::HandlerStatus;
use shared::id::TenantId;
use shared::metrics::{Instruments, Metrics};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::handler::ErasedHandler;
use handler::InProcess;
use pool::{First, Pool};
use process::Starter;
use run::Place;
use types::Types;

/// How long processes may take to exit when the consumer stops. The remaining ones are killed when it exits.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The handler processes of a consumer. Clones share them.
#[derive(Clone)]
pub(crate) struct Handlers(Arc<Inner>);

struct Inner {
    pools: Vec<Arc<Pool>>,
    types: Types,
    worker: String,
    /// Notified when a process has said hello, which tells its command's job types.
    hello_received: Arc<Notify>,
}

/// The places that were reserved before the claim, each with its command's number.
pub(crate) struct Reserved(Vec<(usize, Place)>);

impl Handlers {
    /// Starts one process of each command in the settings, to learn the command's job types. Returns once
    /// each has said hello or has failed. `own` are the types that this program itself handles.
    ///
    /// # Errors
    /// If two handlers claim the same type.
    pub(crate) async fn start(
        config: &Config,
        own: Vec<String>,
        worker: &str,
        clock: &Clock,
        metrics: &Metrics,
    ) -> anyhow::Result<Handlers> {
        let (types, hello_received) = (Types::of_program(own), Arc::new(Notify::new()));
        // Types that the settings name are known before any process has said hello.
        for (number, command) in config.handlers.iter().enumerate() {
            types.claim(number, &command.label(), &command.types).map_err(anyhow::Error::msg)?;
        }
        let launcher = Launcher::itself_or(shared::environment::launcher());
        let mut pools = Vec::new();
        for (number, command) in config.handlers.iter().enumerate() {
            let (types, hello_received) = (types.clone(), hello_received.clone());
            let (slots, clock, metrics) = (config.prefetch, clock.clone(), metrics.clone());
            let pool =
                Pool::new(number, command.clone(), slots, types, hello_received, clock, metrics);
            let pool = Arc::new(pool);
            let starter = Starter {
                launcher: launcher.clone(),
                launch: command::launch(command, config),
                worker: worker.to_owned(),
            };
            tokio::spawn(supervisor::run(pool.clone(), Arc::new(starter)));
            pools.push(pool);
        }
        let handlers =
            Handlers(Arc::new(Inner { pools, types, worker: worker.to_owned(), hello_received }));
        for first in join_all(handlers.0.pools.iter().map(|pool| pool.first())).await {
            if let First::Conflict(conflict) = first {
                handlers.end().await;
                bail!(conflict);
            }
        }
        handlers.reload_on_hangup();
        Ok(handlers)
    }

    /// Reserves a place in a process of each command, because a message does not contain its job's type.
    /// None if some command has no free place.
    pub(crate) fn try_reserve(&self, tenant: TenantId) -> Option<Reserved> {
        let pools = self.0.pools.iter();
        let places = pools.map(|pool| Some((pool.number, pool.try_reserve(tenant)?)));
        places.collect::<Option<Vec<_>>>().map(Reserved)
    }

    /// Waits for a place in a process that handles this type, if any does. If the type is unknown, waits
    /// until every command's types are known. None if the consumer is stopping.
    pub(crate) async fn reserve(&self, job_type: &str, tenant: TenantId) -> Option<Reserved> {
        loop {
            let hello = self.0.hello_received.notified();
            if let Some(number) = self.0.types.command_of(job_type) {
                let pool = self.0.pools.get(number)?;
                match pool.reserve(job_type, tenant).await {
                    Some(place) => return Some(Reserved(vec![(number, place)])),
                    None if pool.is_ending() => return None,
                    // New code lacks the type.
                    None => continue,
                }
            }
            let all_known = self.0.pools.iter().all(|pool| pool.offered().is_some());
            if all_known || self.0.types.is_known(job_type) {
                return Some(Reserved(Vec::new()));
            }
            hello.await;
        }
    }

    /// The handler of a claimed row, which runs in the reserved place; none if no process handles its type.
    ///
    /// # Errors
    /// If the job's type has changed since the place was reserved.
    pub(crate) fn handler(
        &self,
        job_type: &str,
        reserved: Reserved,
    ) -> Result<Option<Arc<dyn ErasedHandler>>, TypeChanged> {
        let Some(number) = self.0.types.command_of(job_type) else { return Ok(None) };
        let place = reserved.0.into_iter().find(|(of, _)| *of == number);
        let (_, place) = place.ok_or(TypeChanged)?;
        let pool = self.0.pools.get(number).ok_or(TypeChanged)?.clone();
        let (worker, place) = (self.0.worker.clone(), Mutex::new(Some(place)));
        Ok(Some(Arc::new(InProcess { pool, worker, place })))
    }

    /// The job types of the commands that are ready.
    pub(crate) fn job_types(&self) -> Vec<String> {
        let ready = self.0.pools.iter().filter(|pool| pool.is_ready());
        ready.filter_map(|pool| pool.offered()).flatten().collect()
    }

    /// The commands' states, as the health report shows them.
    pub(crate) fn status(&self) -> Vec<HandlerStatus> {
        self.0.pools.iter().map(|pool| pool.status()).collect()
    }

    /// Sets the gauges of all commands.
    pub(crate) fn measure(&self, figures: &Instruments) {
        self.0.pools.iter().for_each(|pool| pool.measure(figures));
    }

    /// Ends all processes, or gives up after [`END_LIMIT`].
    pub(crate) async fn end(&self) {
        let ended = join_all(self.0.pools.iter().map(|pool| pool.end()));
        if tokio::time::timeout(END_LIMIT, ended).await.is_err() {
            info!("handler processes are killed: they did not exit in time");
        }
    }

    /// Makes SIGHUP restart the processes. In a terminal, SIGHUP keeps its default action, because there it
    /// means that the terminal was closed.
    fn reload_on_hangup(&self) {
        if self.0.pools.is_empty() || std::io::stdin().is_terminal() {
            return;
        }
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                warn!("SIGHUP does not restart handler processes: {error}");
                return;
            }
        };
        let pools = self.0.pools.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                info!("SIGHUP: handler processes restart");
                pools.iter().for_each(|pool| pool.reload());
            }
        });
    }
}

/// The type of the row's job has changed since a place was reserved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeChanged;
