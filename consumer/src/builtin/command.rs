//! The job type `command`: runs a program that the operator has listed.
//!
//! ```json
//! {"argv": ["/usr/local/bin/export-ledger", "--year", "2026"], "input": "text for its stdin"}
//! ```
//!
//! There is no shell and no `PATH` search: the program gets `argv` as it is, and its first element
//! must be in the operator's list literally. The environment holds only what identifies the
//! execution. A payload cannot add to it, because variables such as `LD_PRELOAD` would make a listed
//! program run code that is not listed. Secrets are passed by `input`: every user of the machine can
//! read `argv`.
//!
//! When the program ends, for whatever reason, all its descendants are killed (`process_tree.rs`,
//! which also says what can escape).

mod process_tree;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use shared::clock::Clock;
use shared::output::Output;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;

use crate::{Context, Handler, HandlerError};
use process_tree::ProcessTree;

/// How long a program may take to end after SIGTERM; then it gets SIGKILL. Shorter than the time
/// after which a handler is aborted.
const TERM_LIMIT: Duration = Duration::from_millis(1500);
/// How long the last output may take to arrive once the process tree is gone.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// The programs' `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs programs.
pub(super) struct Command {
    allowed: Vec<PathBuf>,
    clock: Clock,
}

/// A payload of the type `command`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    argv: Vec<String>,
    /// Written to the program's standard input.
    #[serde(default)]
    input: String,
}

/// The result of a program that succeeded.
#[derive(Serialize)]
pub(super) struct Exited {
    exit_status: i32,
}

impl Command {
    /// Runs these programs and no others. First kills the programs that a consumer on this machine
    /// left running when it was killed itself.
    pub(super) fn new(allowed: Vec<PathBuf>, clock: Clock) -> Command {
        process_tree::end_orphans();
        Command { allowed, clock }
    }

    fn start(&self, invocation: &Invocation, context: &Context) -> Result<Child, HandlerError> {
        let refuse = |why: &str| HandlerError::new(format!("payload.argv {why}")).final_();
        let [program, arguments @ ..] = invocation.argv.as_slice() else {
            return Err(refuse("is empty"));
        };
        let Some(program) =
            self.allowed.iter().find(|allowed| allowed.as_os_str() == program.as_str())
        else {
            return Err(refuse("names a program that is not listed in POLYCHRON_COMMANDS"));
        };
        if invocation.argv.iter().any(|argument| context.redactor.occurs_in(argument)) {
            return Err(refuse(
                "contains a secret, which every user of the machine could read; pass it by `input`",
            ));
        }
        if invocation.argv.iter().any(|argument| argument.contains('\0')) {
            return Err(refuse("contains a NUL byte"));
        }
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(process_tree::markers(context))
            .env("POLYCHRON_TENANT", &context.tenant_slug)
            .env("POLYCHRON_JOB", context.job_name.replace('\0', " "))
            .env("POLYCHRON_ATTEMPT", context.attempt.to_string())
            .env("POLYCHRON_SCHEDULED_FOR", context.scheduled_for.to_rfc3339())
            .env("POLYCHRON_IDEMPOTENCY_KEY", context.idempotency_key())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map_err(|error| {
            HandlerError::new(format!("{} cannot be started: {error}", program.display()))
        })
    }

    /// Waits for the program to end, and ends it if the execution is cancelled.
    async fn wait(
        &self,
        child: &mut Child,
        tree: &ProcessTree,
        context: &Context,
    ) -> std::io::Result<ExitStatus> {
        tokio::select! {
            status = child.wait() => return status,
            () = context.cancelled.cancelled() => {}
        }
        tree.signal(Signal::TERM);
        tokio::select! {
            status = child.wait() => status,
            () = self.clock.sleep(TERM_LIMIT) => {
                tree.signal(Signal::KILL);
                child.wait().await
            }
        }
    }
}

impl Handler<Invocation> for Command {
    type Output = Exited;

    async fn run(&self, invocation: Invocation, context: Context) -> Result<Exited, HandlerError> {
        let mut child = self.start(&invocation, &context)?;
        // Kills all of them when dropped, whatever ends this function.
        let tree = ProcessTree::of(&child, &context);
        let feeding = feed(child.stdin.take(), invocation.input.into_bytes());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading = join(read(stdout, &context.output), read(stderr, &context.output));
        let pipes = join(feeding, reading);
        tokio::pin!(pipes);
        let mut pipes_closed = false;
        let status = {
            let waiting = self.wait(&mut child, &tree, &context);
            tokio::pin!(waiting);
            loop {
                tokio::select! {
                    status = &mut waiting => break status?,
                    // A program may close its output and go on.
                    _ = &mut pipes, if !pipes_closed => pipes_closed = true,
                }
            }
        };
        drop(tree);
        if !pipes_closed {
            // A process that escaped may hold the pipes open.
            let _ = timeout(FLUSH_LIMIT, pipes).await;
        }
        result(status)
    }
}

/// The exit status as a result.
fn result(status: ExitStatus) -> Result<Exited, HandlerError> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Exited { exit_status: 0 }),
        (Some(code), _) => Err(HandlerError::new(format!("the program ended with status {code}"))),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Err(HandlerError::new(format!("the program was ended by signal {signal}")))
        }
    }
}

/// Writes a program's input. A program that does not read it has not failed.
async fn feed(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(&input).await;
    }
}

/// Copies a program's output to the execution's.
async fn read<R: AsyncRead + Unpin>(pipe: Option<R>, output: &Output) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 8192];
    // May end within a character.
    let mut pending = Vec::new();
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        pending.extend_from_slice(&buffer[..count]);
        let whole = whole_characters(&pending);
        output.write(&String::from_utf8_lossy(&pending[..whole]));
        pending.drain(..whole);
    }
    output.write(&String::from_utf8_lossy(&pending));
}

/// How many bytes form whole characters. Bytes that are not UTF-8 at all count as whole.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
