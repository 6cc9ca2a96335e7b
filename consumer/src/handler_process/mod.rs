//! Handler processes: job types that programs in any language handle, beside this one.
//!
//! The consumer speaks to them by a protocol of its own (docs/handler-protocol.md) and keeps everything
//! that Polychron promises: they never see the tables of jobs. In the life of a job: `worker.rs` takes
//! room in a process before it claims a row, and `executor.rs` runs [`handler`] like any other.
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

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use launcher::Launcher;
use shared::clock::Clock;
use shared::config::Config;
use shared::id::TenantId;
use shared::readiness::HandlerStatus;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::handler::ErasedHandler;
use handler::InProcess;
use pool::{First, Pool};
use process::Starter;
use run::Place;
use types::Types;

/// How long processes may take to exit when the consumer stops. Those that are left die with it.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The handler processes of a consumer. Clones share them.
#[derive(Clone)]
pub(crate) struct Handlers(Arc<Inner>);

struct Inner {
    pools: Vec<Arc<Pool>>,
    types: Types,
    worker: String,
    /// A command has said which types it has.
    heard: Arc<Notify>,
}

/// Room in handler processes, taken before the claim.
pub(crate) struct Reserved(Vec<(usize, Place)>);

impl Handlers {
    /// Starts a process of each command in the settings, to learn its job types, and returns once each
    /// has said them or has failed to. `own` are the types that this program handles.
    ///
    /// # Errors
    /// If two handlers claim one type.
    pub(crate) async fn start(
        config: &Config,
        own: Vec<String>,
        worker: &str,
        clock: &Clock,
    ) -> anyhow::Result<Handlers> {
        let (types, heard) = (Types::of_program(own), Arc::new(Notify::new()));
        // Those that the settings name are known before the first process has said them.
        for (number, command) in config.handlers.iter().enumerate() {
            types.claim(number, &command.label(), &command.types).map_err(anyhow::Error::msg)?;
        }
        let launcher = Launcher::itself_or(shared::environment::launcher());
        let mut pools = Vec::new();
        for (number, command) in config.handlers.iter().enumerate() {
            let (types, heard) = (types.clone(), heard.clone());
            let pool =
                Pool::new(number, command.clone(), config.prefetch, types, heard, clock.clone());
            let pool = Arc::new(pool);
            let starter = Starter {
                launcher: launcher.clone(),
                launch: command::launch(command, config),
                worker: worker.to_owned(),
            };
            tokio::spawn(supervisor::run(pool.clone(), Arc::new(starter)));
            pools.push(pool);
        }
        let handlers = Handlers(Arc::new(Inner { pools, types, worker: worker.to_owned(), heard }));
        for first in join_all(handlers.0.pools.iter().map(|pool| pool.first())).await {
            if let First::Conflict(conflict) = first {
                handlers.end().await;
                bail!(conflict);
            }
        }
        handlers.reload_on_hangup();
        Ok(handlers)
    }

    /// Room in a process of each command, since a message does not tell the type of its job. None if
    /// some command has no room.
    pub(crate) fn try_reserve(&self, tenant: TenantId) -> Option<Reserved> {
        let places = self.0.pools.iter();
        let places = places.map(|pool| Some((pool.number, pool.try_reserve(tenant)?)));
        places.collect::<Option<Vec<_>>>().map(Reserved)
    }

    /// Waits for room in a process that handles this type, if one does. A type that is not known
    /// waits while a command has not said its types yet. None: the consumer stops.
    pub(crate) async fn reserve(&self, job_type: &str, tenant: TenantId) -> Option<Reserved> {
        loop {
            let heard = self.0.heard.notified();
            if let Some(number) = self.0.types.command_of(job_type) {
                let pool = self.0.pools.get(number)?;
                return Some(Reserved(vec![(number, pool.reserve(job_type, tenant).await?)]));
            }
            let all_heard = self.0.pools.iter().all(|pool| pool.offered().is_some());
            if all_heard || self.0.types.is_known(job_type) {
                return Some(Reserved(Vec::new()));
            }
            heard.await;
        }
    }

    /// The handler of a claimed row, in the process that has room for it; none if no process handles
    /// its type.
    ///
    /// # Errors
    /// If its type has changed since room was reserved.
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

    /// The types of the commands that are ready.
    pub(crate) fn job_types(&self) -> Vec<String> {
        let ready = self.0.pools.iter().filter(|pool| pool.is_ready());
        ready.filter_map(|pool| pool.offered()).flatten().collect()
    }

    /// What health shows.
    pub(crate) fn status(&self) -> Vec<HandlerStatus> {
        self.0.pools.iter().map(|pool| pool.status()).collect()
    }

    /// Ends all processes.
    pub(crate) async fn end(&self) {
        let ended = join_all(self.0.pools.iter().map(|pool| pool.end()));
        if tokio::time::timeout(END_LIMIT, ended).await.is_err() {
            info!("handler processes are killed: they did not exit in time");
        }
    }

    /// SIGHUP starts the processes anew. It keeps its usual meaning in a terminal, whose end it tells.
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
                info!("SIGHUP: handler processes are started anew");
                pools.iter().for_each(|pool| pool.reload());
            }
        });
    }
}

/// The type of a row has changed since room was reserved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeChanged;
