//! The connection pool of this process. Connections are opened on demand, within a budget per database
//! server, and closed when idle.
//!
//! sqlx's own pool is not used, because it belongs to one database: thousands of tenants on one server
//! would each hold connections that the others cannot use. Also, in sqlx 0.9 a query that is cancelled on
//! an unresponsive connection leaks the pool's permit, and a transaction that is cancelled while it begins
//! stays open for the next user. Here, a connection is dropped unless its statement got an answer, and all
//! idle connections to a server are in one pool (`idle_pool.rs`).

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::caught::caught;
use super::connection_limits::ConnectionLimits;
use super::error::{Refusal, Result, StoreError};
use super::idle_pool::{CheckedOut, Idle, Live, Permit, Scarce, Server};
use super::read_limits::{READ_LIMITS_ARE_KEPT, ReadLimits};
use super::session::{Open, Planning, SearchPath};
use super::watched_file::{Generation, WatchedFile};
use crate::clock::{BootTime, Clock};

/// The longest wait for an idle or a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// The pause after the server has refused a connection because it has none left.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// A connection that was idle for longer is pinged before it is used.
const PING_AFTER: Duration = Duration::from_secs(5);
/// How many connections to an SQLite file may be closing. A connection cannot close before its current
/// instruction ends, and one instruction of a hostile trigger can take years; without this limit, each
/// attempt would cost another thread.
const SQLITE_CLOSING: usize = 1;
/// The longest wait for the second session, which shows whether a pooler shares sessions.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// All connections of one process. Clones share them.
#[derive(Clone)]
pub(super) struct Pool(Arc<Servers>);

struct Servers {
    clock: Clock,
    #[cfg(feature = "faults")]
    gate: Option<super::gate::Gate>,
    per_server: usize,
    /// Whether a server's limit lowers that.
    shares: bool,
    planning: Planning,
    postgres: Mutex<HashMap<String, Arc<Server<PgConnection>>>>,
    sqlite: Arc<Server<SqliteConnection>>,
    next_database: AtomicU64,
}

impl Pool {
    /// A pool of at most `per_server` connections to each database server, and to all SQLite files
    /// together.
    pub(super) fn new(clock: Clock, per_server: usize) -> Pool {
        if !READ_LIMITS_ARE_KEPT {
            warn!("built with the published sqlx-postgres, without limits: see vendor/README.md");
        }
        let sqlite = Arc::new(Server::new("SQLite", clock.clone(), per_server));
        Pool(Arc::new(Servers {
            clock,
            #[cfg(feature = "faults")]
            gate: None,
            per_server,
            shares: false,
            planning: Planning::Free,
            postgres: Mutex::default(),
            sqlite,
            next_database: AtomicU64::new(0),
        }))
    }

    /// Sets how PostgreSQL plans the statements. Call it before cloning the pool.
    pub(super) fn planned(mut self, planning: Planning) -> Pool {
        if let Some(servers) = Arc::get_mut(&mut self.0) {
            servers.planning = planning;
        }
        self
    }

    /// Takes no more than a share of what each server has. Call it before cloning the pool.
    pub(super) fn sharing(mut self) -> Pool {
        if let Some(servers) = Arc::get_mut(&mut self.0) {
            servers.shares = true;
        }
        self
    }

    /// Adds a gate that every statement passes. Call it before cloning the pool.
    #[cfg(feature = "faults")]
    pub(super) fn behind(mut self, gate: super::gate::Gate) -> Pool {
        if let Some(servers) = Arc::get_mut(&mut self.0) {
            servers.gate = Some(gate);
        }
        self
    }

    /// The clock that measures idle times.
    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Closes connections that have been idle for too long. Call it every few seconds.
    pub(super) fn close_idle(&self) {
        self.0.sqlite.close_idle();
        for server in lock(&self.0.postgres).values() {
            server.close_idle();
        }
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> ConnectionCounts {
        let mut postgres = (0, 0);
        for server in lock(&self.0.postgres).values() {
            let (open, idle) = server.count();
            postgres = (postgres.0 + open, postgres.1 + idle);
        }
        ConnectionCounts { postgres, sqlite: self.0.sqlite.count() }
    }

    /// A PostgreSQL database with at most `at_once` connections in use at a time.
    pub(super) fn postgres(
        &self,
        options: PgConnectOptions,
        path: SearchPath,
        at_once: usize,
    ) -> Database<PgConnection> {
        let address = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let options = ReadLimits::of(self.0.planning).apply(options);
        let role = options.get_username().into();
        let new = || Arc::new(Server::new(&address, self.0.clock.clone(), self.0.per_server));
        let server = lock(&self.0.postgres).entry(address.clone()).or_insert_with(new).clone();
        self.database(server, options, (Some(path), role), at_once)
    }

    /// An SQLite file with at most `at_once` connections in use at a time.
    pub(super) fn sqlite(
        &self,
        options: SqliteConnectOptions,
        at_once: usize,
    ) -> Database<SqliteConnection> {
        let path = options.get_filename().to_path_buf();
        let mut database =
            self.database(self.0.sqlite.clone(), options, (None, "".into()), at_once);
        database.files = Some(Arc::new(Semaphore::new(at_once + SQLITE_CLOSING)));
        database.file = Some(WatchedFile::new(path));
        database
    }

    fn database<C: Open>(
        &self,
        server: Arc<Server<C>>,
        options: C::Options,
        (path, role): (Option<SearchPath>, Arc<str>),
        at_once: usize,
    ) -> Database<C> {
        let number = self.0.next_database.fetch_add(1, Ordering::Relaxed);
        Database {
            server,
            number,
            role,
            options,
            path,
            shares: self.0.shares,
            is_limited: OnceLock::new(),
            planning: self.0.planning,
            turns: Arc::new(Semaphore::new(at_once)),
            files: None,
            file: None,
            #[cfg(feature = "faults")]
            gate: self.0.gate.clone(),
        }
    }
}

/// The connections of this process: the number of open ones, and how many of those are idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// To PostgreSQL servers.
    pub postgres: (usize, usize),
    /// To SQLite files.
    pub sqlite: (usize, usize),
}

/// One database, and how many of its connections may be in use at a time.
pub(super) struct Database<C: Open> {
    server: Arc<Server<C>>,
    number: u64,
    role: Arc<str>,
    options: C::Options,
    path: Option<SearchPath>,
    shares: bool,
    /// Whether its role, or the database, has few connections of its own. Unknown before the first one.
    is_limited: OnceLock<bool>,
    planning: Planning,
    turns: Arc<Semaphore>,
    /// Permits for connections to an SQLite file; each is held until the connection's thread has ended.
    files: Option<Arc<Semaphore>>,
    /// The SQLite file, which may be replaced while we have it open.
    file: Option<WatchedFile>,
    #[cfg(feature = "faults")]
    gate: Option<super::gate::Gate>,
}

impl<C: Open> Database<C> {
    /// The address of its server.
    pub(super) fn server(&self) -> &str {
        &self.server.address
    }

    /// The options for connecting to it.
    pub(super) fn options(&self) -> &C::Options {
        &self.options
    }

    /// The current boot time.
    pub(super) fn boot_time(&self) -> BootTime {
        self.server.clock.boot_time()
    }

    /// Closes its idle connections.
    pub(super) fn close_idle(&self) {
        self.server.close(|idle| idle.database == self.number);
    }

    /// Waits until the gate, if there is one, lets an operation in.
    #[cfg(feature = "faults")]
    pub(super) async fn enter(&self, code: &'static str) -> Result<super::gate::UnderWay> {
        super::gate::enter(self.gate.as_ref(), self.number, code).await
    }

    /// A working connection: an idle one, or else a new one.
    pub(super) async fn acquire(&self) -> Result<Held<C>> {
        self.acquire_one(|idle| idle.database == self.number).await
    }

    /// A working connection to any database of the server: an idle one, or else a new one to this
    /// database.
    pub(super) async fn acquire_any(&self) -> Result<Held<C>> {
        self.acquire_one(|_| true).await
    }

    async fn acquire_one(&self, will_do: impl Fn(&Idle<C>) -> bool) -> Result<Held<C>> {
        let busy = |_| StoreError::Busy(ACQUIRE_LIMIT.as_secs());
        let slow = |_| StoreError::Slow(ACQUIRE_LIMIT.as_secs());
        let turn = timeout(ACQUIRE_LIMIT, self.turns.clone().acquire_owned()).await;
        // The semaphore is never closed, so this error cannot occur.
        let turn = turn.map_err(busy)?.map_err(|_| StoreError::Busy(0))?;
        if let Some(watched) = &self.file
            && watched.is_due(self.boot_time())
        {
            // Boxed, because it would enlarge every statement's future.
            Box::pin(watched.check(|| self.close_idle())).await;
        }
        let file = self.file.as_ref().map(WatchedFile::generation);
        let give_up_at = self.boot_time() + ACQUIRE_LIMIT;
        let (connection, permit, database, borrowed) = loop {
            match timeout(ACQUIRE_LIMIT, self.server.check_out(&will_do)).await.map_err(busy)? {
                CheckedOut::Idle(Idle { database, role, since, mut connection }, permit) => {
                    let age = self.server.clock.boot_time() - since;
                    if age < PING_AFTER
                        || matches!(
                            timeout(ACQUIRE_LIMIT, caught(connection.connection.ping())).await,
                            Ok(Ok(()))
                        )
                    {
                        let borrowed = (database != self.number).then_some(since);
                        break (connection, permit, (database, role), borrowed);
                    }
                }
                CheckedOut::Permit(permit) => {
                    // Boxed, because it would enlarge every statement's future.
                    let opening = timeout(ACQUIRE_LIMIT, caught(Box::pin(self.open()))).await;
                    let connection = match opening.map_err(slow)? {
                        Ok(connection) => connection,
                        Err(error) => {
                            let Some(what) = self.scarce(&error) else { return Err(error) };
                            self.server.refused(what);
                            if self.boot_time() >= give_up_at {
                                return Err(error);
                            }
                            drop(permit);
                            sleep(REFUSED_PAUSE).await;
                            continue;
                        }
                    };
                    break (connection, permit, (self.number, self.role.clone()), None);
                }
            }
        };
        let is_limited = self.is_limited();
        Ok(Held { connection, permit, database, borrowed, file, is_limited, turn })
    }
}

impl<C: Open> Database<C> {
    /// Opens a connection. The first one to a server opens a second connection to check that each has a
    /// session of its own; other callers wait for the check. If the second connection cannot be opened,
    /// the check is skipped.
    async fn open(&self) -> Result<Live<C>> {
        let mut first = None;
        let prove = async || {
            let connection = first.insert(self.connect().await?);
            match timeout(PROBE_LIMIT, connection.connection.is_shared(&self.options)).await {
                Ok(Ok(true)) => Err(StoreError::Pooled),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        self.server.gives_sessions.get_or_try_init(prove).await?;
        let mut live = match first {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        if self.is_limited.get().is_none() {
            let limits = timeout(PROBE_LIMIT, live.connection.limits()).await;
            self.note(limits.ok().and_then(std::result::Result::ok).flatten());
        }
        Ok(live)
    }

    /// Notes how many connections there are. If that cannot be read, it stays unknown.
    fn note(&self, limits: Option<ConnectionLimits>) {
        let Some(limits) = limits else { return };
        if self.shares {
            self.server.share(usize::try_from(limits.server).unwrap_or_default());
        }
        // Set once: whoever is second has read the same.
        let _ = self.is_limited.set(limits.role >= 0 || limits.database >= 0);
    }

    fn is_limited(&self) -> bool {
        self.is_limited.get().copied().unwrap_or_default()
    }

    /// What the server has run out of, if that is why it refused a connection.
    fn scarce(&self, error: &StoreError) -> Option<Scarce> {
        Some(match error.refusal()? {
            Refusal::Server => Scarce::Server,
            Refusal::Role => Scarce::Role(self.role.clone()),
            Refusal::Database => Scarce::Database(self.number),
        })
    }

    async fn connect(&self) -> sqlx::Result<Live<C>> {
        let file = match &self.files {
            // The semaphore is never closed, so this error cannot occur.
            Some(files) => files.clone().acquire_owned().await.ok(),
            None => None,
        };
        let found = match &self.file {
            Some(watched) => watched.look().await,
            None => None,
        };
        let mut connection = C::open(&self.options, self.planning, self.path.as_ref()).await?;
        let alive = Arc::new(());
        connection.watch(Arc::downgrade(&alive), file).await?;
        if let Some(watched) = &self.file {
            watched.note_open(found).await;
        }
        Ok(Live { connection, alive })
    }
}

/// A connection in use. Dropping it closes it. Only [`Held::keep`] makes it available again, so a
/// connection whose statement was cancelled halfway is never reused.
pub(super) struct Held<C> {
    connection: Live<C>,
    permit: Permit<C>,
    /// The number of its database, and its role.
    database: (u64, Arc<str>),
    /// Since when it was idle, if it is used for another database than its own. Such use does not reset
    /// its idle time: a connection that its own database does not need is closed, and that database can
    /// be dropped.
    borrowed: Option<BootTime>,
    /// The SQLite file, which may be replaced meanwhile.
    file: Option<Generation>,
    /// Whether it may stay idle for a moment only.
    is_limited: bool,
    turn: OwnedSemaphorePermit,
}

impl<C: Send + 'static> Held<C> {
    /// Returns it to the pool for the next statement.
    pub(super) fn keep(self) {
        let Held { connection, permit, database, borrowed, file, is_limited, turn } = self;
        if file.is_some_and(|file| !file.is_current()) {
            return; // no path leads to its file any more
        }
        permit.check_in(database, connection, borrowed, is_limited);
        drop(turn);
    }
}

impl<C> Deref for Held<C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.connection.connection
    }
}

impl<C> DerefMut for Held<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection.connection
    }
}

/// A poisoned lock is ignored: no holder leaves the data inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn a_connection_used_for_other_databases_is_closed_once_its_own_does_not_need_it() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let connections = Pool::new(Clock::Manual(manual.clone()), 4);
        let [one, other] = ["one", "other"].map(|_| {
            connections.sqlite("sqlite::memory:".parse::<SqliteConnectOptions>().unwrap(), 1)
        });
        let left_after = async |seconds| {
            manual.advance(Duration::from_secs(seconds));
            connections.close_idle();
            connections.count().sqlite.0
        };
        one.acquire().await.unwrap().keep();
        assert_eq!(left_after(20).await, 1);
        one.acquire().await.unwrap().keep();
        assert_eq!(left_after(20).await, 1, "needed 20 s ago");
        other.acquire_any().await.unwrap().keep();
        assert_eq!(left_after(9).await, 1, "the other database borrowed the connection");
        other.acquire_any().await.unwrap().keep();
        assert_eq!(left_after(1).await, 0);
    }
}
