//! The job type `command`: runs a program that the operator has listed.
//!
//! ```json
//! {"argv": ["/usr/local/bin/export-ledger", "--year", "2026"], "input": "text for its stdin"}
//! ```
//!
//! No shell and no `PATH` search: `argv` is what the program gets, and its first element is
//! compared with the operator's list as it is written. The environment is empty but for what tells
//! the program which execution it is; a payload cannot add to it, since variables such as
//! `LD_PRELOAD` make a program run what nobody has listed. Secrets go by `input`, never by `argv`,
//! which everybody on the machine can read.
//!
//! The program has a process group of its own, which is killed when it ends, whichever way
//! (`family.rs`, which also says what can escape).

mod family;

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
use family::Family;

/// How long a program has to end after SIGTERM; then comes SIGKILL. Shorter than the time after
/// which a handler is aborted.
const TERM_LIMIT: Duration = Duration::from_millis(1500);
/// How long what was put out may take to arrive once the program and its family are gone.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// The `PATH` that programs get.
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
    /// What the program reads.
    #[serde(default)]
    input: String,
}

/// What a program that succeeded leaves besides its output.
#[derive(Serialize)]
pub(super) struct Exited {
    exit_status: i32,
}

impl Command {
    /// Runs these programs and no others. What a consumer on this machine that was killed has left
    /// running is ended first.
    pub(super) fn new(allowed: Vec<PathBuf>, clock: Clock) -> Command {
        family::end_orphans();
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
            return Err(refuse(
                "names a program that the operator has not listed (POLYCHRON_COMMANDS)",
            ));
        };
        if invocation.argv.iter().any(|argument| context.redactor.occurs_in(argument)) {
            return Err(refuse(
                "holds a secret, which everybody on the machine could read there; pass it by `input`",
            ));
        }
        if invocation.argv.iter().any(|argument| argument.contains('\0')) {
            return Err(refuse("holds a NUL"));
        }
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(family::marks(context))
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

    /// Waits for the program; when it is to stop, sees to it that it does.
    async fn wait(
        &self,
        child: &mut Child,
        family: &Family,
        context: &Context,
    ) -> std::io::Result<ExitStatus> {
        tokio::select! {
            status = child.wait() => return status,
            () = context.cancelled.cancelled() => {}
        }
        family.signal(Signal::TERM);
        tokio::select! {
            status = child.wait() => status,
            () = self.clock.sleep(TERM_LIMIT) => {
                family.signal(Signal::KILL);
                child.wait().await
            }
        }
    }
}

impl Handler<Invocation> for Command {
    type Output = Exited;

    async fn run(&self, invocation: Invocation, context: Context) -> Result<Exited, HandlerError> {
        let mut child = self.start(&invocation, &context)?;
        // Dropped, whatever ends this, it kills everybody.
        let family = Family::of(&child, &context);
        let feeding = feed(child.stdin.take(), invocation.input.into_bytes());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let keeping = join(keep(stdout, &context.output), keep(stderr, &context.output));
        let talking = join(feeding, keeping);
        tokio::pin!(talking);
        let mut silent = false;
        let status = {
            let waiting = self.wait(&mut child, &family, &context);
            tokio::pin!(waiting);
            loop {
                tokio::select! {
                    status = &mut waiting => break status?,
                    // A program may close its output and go on.
                    _ = &mut talking, if !silent => silent = true,
                }
            }
        };
        drop(family);
        if !silent {
            // The pipes end with the last of those who hold them; one that escaped doesn't count.
            let _ = timeout(FLUSH_LIMIT, talking).await;
        }
        ended(status)
    }
}

/// What the exit status says.
fn ended(status: ExitStatus) -> Result<Exited, HandlerError> {
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

/// Writes a program's input; one that doesn't read it is not to blame.
async fn feed(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(&input).await;
    }
}

/// Keeps what a program puts out.
async fn keep<R: AsyncRead + Unpin>(pipe: Option<R>, output: &Output) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 8192];
    // Bytes of a character whose end has not come yet.
    let mut begun = Vec::new();
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        begun.extend_from_slice(&buffer[..count]);
        let whole = whole_characters(&begun);
        output.write(&String::from_utf8_lossy(&begun[..whole]));
        begun.drain(..whole);
    }
    output.write(&String::from_utf8_lossy(&begun));
}

/// How many bytes do not end within a character. What isn't UTF-8 at all counts as whole.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
