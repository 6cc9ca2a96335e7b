//! The child process that runs the statements of one `sql` job over SQLite. It can open only the
//! tenant's files (see `sandbox.rs`), and limits its own memory and time.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::{Batch, Connection, Error, ErrorCode, OpenFlags, Rows};
use serde::{Deserialize, Serialize};
use shared::clock::{BootTime, Clock};

use super::rules::Rules;

/// SQLite's heap limit, in bytes. Large sorts and VACUUM use temporary files instead.
const HEAP_BYTES: i64 = 128 << 20;
/// The longest text or blob, in bytes.
const VALUE_BYTES: i32 = 32 << 20;
/// How long to wait for the engine's own writes.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// SQLite instructions between two checks of the time limit.
const CHECK_TIME_EVERY: i32 = 10_000;
/// The longest SQLite message in an error, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// How long a statement may ignore its time limit: SQLite checks it between instructions, and a
/// single `LIKE` can take years. Then the process exits.
const WATCHDOG_GRACE: Duration = Duration::from_millis(500);

/// The job.
#[derive(Serialize, Deserialize)]
pub(super) struct Assignment {
    /// The tenant's database.
    pub file: PathBuf,
    /// The folder for temporary files. If it does not exist, they stay in memory.
    pub scratch: PathBuf,
    pub statements: Vec<String>,
    pub transaction: bool,
    /// Time limit of each statement.
    pub statement_limit: Option<Duration>,
    /// Time limit of the whole job.
    pub time_left: Duration,
}

/// The messages of this process, one per line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// This many statements are done.
    Progress(u64),
    /// All are done; the number of rows that each changed.
    Done(Vec<u64>),
    /// A statement failed, or the transaction around them.
    Failed {
        /// The error.
        message: String,
        /// Whether another attempt may succeed.
        retry: bool,
    },
}

/// Runs a job; the function of the launcher role.
pub(super) fn run(argument: &str) -> i32 {
    let done = match serde_json::from_str::<Assignment>(argument) {
        Ok(assignment) => JobConnection::open(&assignment).and_then(|session| session.run()),
        Err(error) => Err(Failure { message: error.to_string(), retry: false }),
    };
    match done {
        Ok(affected) => finish(&Message::Done(affected), 0),
        Err(failure) => finish(&failure.into(), 1),
    }
}

/// If the engine is gone, the launcher kills this process.
fn send(message: &Message) {
    let mut output = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut output, message).map_err(std::io::Error::from);
    let _ = written.and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush());
}

/// Sends the last message and ends the process, on whichever thread comes first.
fn finish(message: &Message, status: i32) -> ! {
    static FINISHED: Mutex<()> = Mutex::new(());
    let _first = FINISHED.lock();
    send(message);
    std::process::exit(status)
}

#[derive(Clone)]
struct Failure {
    message: String,
    retry: bool,
}

impl From<Failure> for Message {
    fn from(Failure { message, retry }: Failure) -> Message {
        Message::Failed { message, retry }
    }
}

/// A connection for one job.
struct JobConnection<'a> {
    assignment: &'a Assignment,
    deadline: BootTime,
    connection: Connection,
    rules: Rules,
    watchdog: mpsc::Sender<Watch>,
}

/// What the watchdog does if the next message does not arrive in time.
struct Watch {
    ends: BootTime,
    failure: Failure,
}

impl<'a> JobConnection<'a> {
    fn open(assignment: &'a Assignment) -> Result<JobConnection<'a>, Failure> {
        let deadline = Clock::System.boot_time() + assignment.time_left;
        let (watchdog, watches) = mpsc::channel();
        std::thread::spawn(move || watch(&watches));
        let rules = Rules::default();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&assignment.file, flags).and_then(|connection| {
            prepare(&connection, assignment)?;
            let judge = rules.clone();
            let judge = move |context: AuthContext<'_>| judge.judge(&context);
            connection.authorizer(Some(judge))?;
            Ok(connection)
        });
        let connection = opened.map_err(|error| failure("", &error, &rules))?;
        Ok(JobConnection { assignment, deadline, connection, rules, watchdog })
    }

    /// Runs all statements; returns how many rows each has changed.
    fn run(&self) -> Result<Vec<u64>, Failure> {
        let Assignment { statements, transaction, .. } = self.assignment;
        if *transaction {
            self.control("BEGIN IMMEDIATE")?;
        }
        let mut affected = Vec::with_capacity(statements.len());
        for (at, text) in statements.iter().enumerate() {
            affected.push(self.statement(at, text)?);
            send(&Message::Progress(at as u64 + 1));
        }
        if *transaction {
            self.control("COMMIT")?;
        }
        Ok(affected)
    }

    /// Runs a statement of ours.
    fn control(&self, text: &str) -> Result<(), Failure> {
        let late = Failure { message: format!("{text}: stopped at the deadline"), retry: true };
        self.limited(text, self.deadline, &late).map(|_| ())
    }

    /// Runs a statement of the job; returns how many rows it has changed.
    fn statement(&self, at: usize, text: &str) -> Result<u64, Failure> {
        let place = format!("payload.statements[{at}]");
        let limit =
            self.assignment.statement_limit.map(|limit| (limit, Clock::System.boot_time() + limit));
        let (ends, message) = match limit {
            Some((limit, ends)) if ends < self.deadline => {
                (ends, format!("{place} ran longer than {} s", limit.as_secs()))
            }
            _ => (self.deadline, format!("{place}: stopped at the deadline")),
        };
        self.limited(text, ends, &Failure { message, retry: true }).map_err(|failure| {
            let known = failure.message.starts_with(&place);
            let message =
                if known { failure.message } else { format!("{place}: {}", failure.message) };
            Failure { message, ..failure }
        })
    }

    /// Runs a text with a time limit.
    fn limited(&self, text: &str, ends: BootTime, late: &Failure) -> Result<u64, Failure> {
        let over = move || Clock::System.boot_time() >= ends;
        // If the watchdog is gone, the process is ending.
        let _ = self.watchdog.send(Watch { ends, failure: late.clone() });
        let limited = self.connection.progress_handler(CHECK_TIME_EVERY, Some(over));
        limited.and_then(|()| self.execute(text)).map_err(|error| {
            let interrupted = error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
            if interrupted && over() { late.clone() } else { failure("", &error, &self.rules) }
        })
    }

    /// Runs a text, which may contain several statements; returns how many rows they have changed.
    fn execute(&self, text: &str) -> rusqlite::Result<u64> {
        let (connection, mut affected) = (&self.connection, 0);
        let mut batch = Batch::new(connection, text);
        while let Some(mut statement) = batch.next()? {
            let before = connection.total_changes();
            self.rules.set_running(true);
            let ran = exhaust(statement.raw_query());
            self.rules.set_running(false);
            ran?;
            // A statement that changes no rows leaves `changes` as it was.
            if connection.total_changes() != before {
                affected += connection.changes();
            }
        }
        Ok(affected)
    }
}

/// Reads all rows and discards them.
fn exhaust(mut rows: Rows<'_>) -> rusqlite::Result<()> {
    while rows.next()?.is_some() {}
    Ok(())
}

/// Ends the process if a statement ignores its time limit.
fn watch(watches: &mpsc::Receiver<Watch>) {
    let Ok(mut watch) = watches.recv() else { return };
    loop {
        let left = watch.ends + WATCHDOG_GRACE - Clock::System.boot_time();
        match watches.recv_timeout(left) {
            Ok(next) => watch = next,
            Err(mpsc::RecvTimeoutError::Timeout) => finish(&watch.failure.into(), 1),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Configures a connection: the engine's own settings, and all restrictions.
fn prepare(connection: &Connection, assignment: &Assignment) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
    // VACUUM attaches one; `rules.rs` refuses all others.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let scratch = assignment.scratch.to_string_lossy();
    let folder = connection.pragma_update(None, "temp_store_directory", scratch.as_ref());
    if folder.is_err() {
        connection.pragma_update(None, "temp_store", "MEMORY")?;
    }
    // Applies to the whole process and can only be lowered.
    connection.query_row(&format!("PRAGMA hard_heap_limit = {HEAP_BYTES}"), [], |_| Ok(()))
}

/// SQLite's message and code, and whether another attempt may succeed.
fn failure(place: &str, error: &Error, rules: &Rules) -> Failure {
    if let Some(what) = rules.take_refusal() {
        let message = format!("{place}{what} cannot be used in a `sql` job");
        return Failure { message, retry: false };
    }
    let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
        return Failure { message: format!("{place}{error}"), retry: false };
    };
    let text = match error {
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    let text = &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX.min(text.len()))];
    // Wrong statement, out of memory, too long, constraint violated, wrong type.
    let in_vain = matches!(code & 0xff, 1 | 7 | 18 | 19 | 20);
    Failure { message: format!("{place}{text} ({code})"), retry: !in_vain }
}
