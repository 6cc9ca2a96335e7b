//! Runs a `sql` job over SQLite in a child process that can open only this tenant's files.
//!
//! Each job gets a process of its own. A process that is kept could not serve another tenant:
//! Landlock restrictions are permanent, and so are SQLite's process-wide settings.

use std::path::PathBuf;
use std::time::Duration;

use launcher::{Confinement, Exit, Files, Launch, Launched, Launcher, Limit, Role, Start};
use shared::random::Random;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;

use super::Script;
use super::child::{self, Assignment, Message};
use crate::launching;
use crate::{Context, HandlerError};

/// The child process, for the launcher.
pub(crate) const ROLE: Role = Role { name: "sql", run: child::run };

/// Other files it may read: for local time and random numbers.
const READABLE: &[&str] = &["/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom"];
/// Limit of virtual memory, in case SQLite's heap limit fails.
const ADDRESS_SPACE: u64 = 2 << 30;
/// A file that it writes may have this size plus twice the database's.
const FILE_BYTES: u64 = 1 << 30;
const OPEN_FILES: u64 = 64;
/// Processor time beyond the deadline.
const CPU_GRACE: Duration = Duration::from_secs(5);
/// The longest line that it may send, without the counts of `Done`.
const LINE_BYTES: u64 = 64 << 10;
/// The longest count in `Done`.
const COUNT_BYTES: u64 = 24;
/// The longest panic message that is kept.
const PANIC_BYTES: u64 = 1024;

/// Runs the statements; returns how many rows each has changed.
pub(super) async fn run(
    launcher: &Launcher,
    script: Script,
    context: &Context,
) -> Result<Vec<u64>, HandlerError> {
    // An idle connection of ours. While it exists, so do SQLite's `-wal` and `-shm` files, which the
    // child may neither create nor delete.
    let mut anchor = context.sqlite()?.acquire().await?;
    sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&mut *anchor).await?;
    let file = tokio::fs::canonicalize(context.database.sqlite_file()?).await?;
    let size = tokio::fs::metadata(&file).await?.len();
    let count = script.statements.len() as u64;
    let launched = launching::launch(launcher, request(file, size, script, context)?).await?;
    let result = supervise(launched, context, count).await;
    drop(anchor);
    result
}

fn request(
    file: PathBuf,
    size: u64,
    script: Script,
    context: &Context,
) -> Result<Launch, HandlerError> {
    let scratch = scratch(context);
    let beside = |ending: &str| {
        let mut name = file.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let files = Files {
        read: READABLE.iter().map(PathBuf::from).collect(),
        write: vec![beside("-wal"), beside("-shm"), file.clone()],
        scratch: Some(scratch.clone()),
    };
    let time_left = context.database.time_left();
    let limits = vec![
        (Limit::AddressSpace, ADDRESS_SPACE),
        (Limit::Core, 0),
        (Limit::Cpu, (time_left + CPU_GRACE).as_secs()),
        (Limit::FileBytes, size.saturating_mul(2).saturating_add(FILE_BYTES)),
        (Limit::OpenFiles, OPEN_FILES),
    ];
    let statement_limit = script.limit();
    let Script { statements, transaction, .. } = script;
    let assignment =
        Assignment { file, scratch, statements, transaction, statement_limit, time_left };
    Ok(Launch {
        start: Start::Role {
            name: ROLE.name.to_owned(),
            argument: serde_json::to_string(&assignment)?,
        },
        confinement: Confinement {
            limits,
            own_signals_only: true,
            no_network: true,
            files: Some(files),
        },
    })
}

/// A path that does not exist yet, for SQLite's temporary files.
fn scratch(context: &Context) -> PathBuf {
    let random: String =
        Random::system().bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("polychron-sql-{}-{random}", context.execution))
}

/// Passes progress on until the child has exited, and kills it if the execution is to end.
async fn supervise(
    launched: Launched,
    context: &Context,
    total: u64,
) -> Result<Vec<u64>, HandlerError> {
    let Launched { output, errors, mut running, .. } = launched;
    let (mut output, mut panic) = (BufReader::new(output), String::new());
    let finished = tokio::select! {
        finished = read(&mut output, context, total) => finished?,
        () = context.cancelled.cancelled() => {
            running.stop(Duration::ZERO).await;
            running.wait().await?;
            return Err(HandlerError::new("stopped"));
        }
    };
    let exit = running.wait().await?;
    match finished {
        Some(Message::Done(affected)) => Ok(affected),
        Some(Message::Failed { message, retry }) => {
            let error = HandlerError::new(message);
            Err(if retry { error } else { error.final_() })
        }
        Some(Message::Progress(_)) | None => {
            let _ = errors.take(PANIC_BYTES).read_to_string(&mut panic).await;
            let why = match exit {
                Exit::Signal(signal) => format!("was killed by signal {signal}"),
                Exit::Status(status) => format!("exited with status {status}"),
            };
            Err(HandlerError::new(format!("the process that ran the statements {why}"))
                .with_detail(panic))
        }
    }
}

/// Reads messages up to the last one. `None`: the child exited without one.
async fn read(
    output: &mut BufReader<Receiver>,
    context: &Context,
    total: u64,
) -> Result<Option<Message>, HandlerError> {
    let (mut line, line_bytes) = (Vec::new(), LINE_BYTES + total * COUNT_BYTES);
    loop {
        line.clear();
        if output.take(line_bytes).read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        match serde_json::from_slice(&line)? {
            Message::Progress(done) => context.progress(done, total, "statements"),
            last => return Ok(Some(last)),
        }
    }
}
