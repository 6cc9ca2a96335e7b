//! The PostgreSQL sessions that one execution's handler has opened, and their end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::error::chain;
use super::read_limits::ReadLimits;
use super::sql;
use crate::clock::{Clock, Time};
use crate::database_url::DatabaseUrl;

/// How long terminating the sessions may take.
pub(super) const END_LIMIT: Duration = Duration::from_secs(5);
/// The pause after the first failed attempt, and the longest one.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long it is tried.
const RETRIED_FOR: Duration = Duration::from_secs(3600);

/// Identifies a session, whatever its settings: its process id, and when it started.
pub(super) type Session = (i32, Option<Time>);

/// The sessions. Clones share them.
#[derive(Clone)]
pub(super) struct HandlerSessions {
    url: DatabaseUrl,
    clock: Clock,
    opened: Arc<Mutex<Vec<Session>>>,
}

impl HandlerSessions {
    pub(super) fn new(url: &DatabaseUrl, clock: &Clock) -> HandlerSessions {
        HandlerSessions { url: url.clone(), clock: clock.clone(), opened: Arc::default() }
    }

    pub(super) fn add(&self, session: Session) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Terminates them, or says why that failed.
    pub(super) async fn end(&self) -> Result<(), String> {
        match timeout(END_LIMIT, self.try_end()).await {
            Ok(ended) => ended.map_err(|error| chain(&error)),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    /// Tries that until it succeeds. A session may have lifted the timeouts by which the server would
    /// end it, and would run on, beyond the limit of the tenant's executions.
    pub(super) async fn keep_ending(self) {
        let end = self.clock.boot_time() + RETRIED_FOR;
        let (mut pause, longest) = RETRY_PAUSES;
        while self.clock.boot_time() < end {
            self.clock.sleep(pause).await;
            if self.end().await.is_ok() {
                return;
            }
            pause = (pause * 2).min(longest);
        }
    }

    async fn try_end(&self) -> Result<(), sqlx::Error> {
        let options = self.url.postgres_options().map_err(sqlx::Error::config)?;
        let options = options.disable_statement_logging();
        let options = ReadLimits::SCRIPT.apply(options);
        let mut connection: PgConnection = options.connect().await?;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (processes, started): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        sqlx::query(sql::END_SESSIONS.postgres)
            .bind(processes)
            .bind(started)
            .execute(&mut connection)
            .await?;
        connection.close().await
    }
}
