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
//! A launcher starts the program, and kills all its descendants when it ends or the consumer dies
//! (the crate `polychron-launcher`).

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join;
use launcher::{Confinement, Exit, Launch, LaunchError, Launched, Launcher, Running, Start, User};
use serde::{Deserialize, Serialize};
use shared::config::SystemUser;
use shared::output::Output;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::launching;
use crate::utf8::Utf8;
use crate::{Context, Handler, HandlerError};

/// How long a program may take to end after SIGTERM; then it gets SIGKILL. Shorter than the time
/// after which a handler is aborted.
const TERM_LIMIT: Duration = Duration::from_millis(1500);
/// The programs' `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs programs.
pub(super) struct Command {
    allowed: Vec<PathBuf>,
    user: Option<User>,
    launcher: Launcher,
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
    /// Runs these programs and no others.
    pub(super) fn new(
        allowed: Vec<PathBuf>,
        user: Option<SystemUser>,
        launcher: Launcher,
    ) -> Command {
        let user = user.map(|SystemUser { user, group }| User { user, group });
        Command { allowed, user, launcher }
    }

    async fn start(
        &self,
        invocation: &Invocation,
        context: &Context,
    ) -> Result<Launched, HandlerError> {
        let path = self.program(invocation, context)?;
        let variable = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            variable("PATH", PATH.to_owned()),
            variable("POLYCHRON_EXECUTION", context.execution.to_string()),
            variable("POLYCHRON_TENANT", context.tenant_slug.clone()),
            variable("POLYCHRON_JOB", context.job_name.replace('\0', " ")),
            variable("POLYCHRON_ATTEMPT", context.attempt.to_string()),
            variable("POLYCHRON_SCHEDULED_FOR", context.scheduled_for.to_rfc3339()),
            variable("POLYCHRON_IDEMPOTENCY_KEY", context.idempotency_key()),
        ];
        let start = Start::Program {
            path: path.clone(),
            arguments: invocation.argv.iter().skip(1).cloned().collect(),
            environment,
            folder: PathBuf::from("/"),
            user: self.user,
            channel: None,
        };
        let confinement = Confinement { own_signals_only: true, ..Confinement::default() };
        let launched = launching::launch(&self.launcher, Launch { start, confinement }).await;
        launched.map_err(|error| {
            HandlerError::new(format!("{} cannot be started: {error}", path.display()))
        })
    }

    /// The program that the payload names, if the operator allows it and its arguments may be seen.
    fn program(
        &self,
        invocation: &Invocation,
        context: &Context,
    ) -> Result<&PathBuf, HandlerError> {
        let refuse = |why: &str| HandlerError::new(format!("payload.argv {why}")).final_();
        let Some(program) = invocation.argv.first() else {
            return Err(refuse("is empty"));
        };
        let mut allowed = self.allowed.iter();
        let Some(path) = allowed.find(|allowed| allowed.as_os_str() == program.as_str()) else {
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
        Ok(path)
    }
}

impl Handler<Invocation> for Command {
    type Output = Exited;

    async fn run(&self, invocation: Invocation, context: Context) -> Result<Exited, HandlerError> {
        // If this function is dropped, so is `running`, and the launcher kills the process tree.
        let launched = self.start(&invocation, &context).await?;
        let Launched { input, output, errors, mut running, .. } = launched;
        let feeding = feed(input, invocation.input.into_bytes());
        let reading = join(read(output, &context.output), read(errors, &context.output));
        // The pipes end when the last process is dead, which is when the exit is reported.
        let (exit, _) = Box::pin(join(wait(&mut running, &context), join(feeding, reading))).await;
        result(exit?)
    }
}

/// Waits for the program to end, and ends it if the execution is cancelled.
async fn wait(running: &mut Running, context: &Context) -> Result<Exit, LaunchError> {
    tokio::select! {
        exit = running.wait() => return exit,
        () = context.cancelled.cancelled() => {}
    }
    running.stop(TERM_LIMIT).await;
    running.wait().await
}

/// The exit as a result.
fn result(exit: Exit) -> Result<Exited, HandlerError> {
    match exit {
        Exit::Status(0) => Ok(Exited { exit_status: 0 }),
        Exit::Status(code) => {
            Err(HandlerError::new(format!("the program ended with status {code}")))
        }
        Exit::Signal(signal) => {
            Err(HandlerError::new(format!("the program was ended by signal {signal}")))
        }
    }
}

/// Writes a program's input. A program that does not read it has not failed.
async fn feed(mut pipe: Sender, input: Vec<u8>) {
    let _ = pipe.write_all(&input).await;
}

/// Copies a program's output to the execution's.
async fn read(mut pipe: Receiver, output: &Output) {
    let (mut buffer, mut utf8) = ([0; 8192], Utf8::default());
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        output.write(&utf8.push(&buffer[..count]));
    }
    output.write(&utf8.rest());
}
