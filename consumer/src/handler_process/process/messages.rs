//! Handles the messages of a process.

use tracing::{info, warn};

use super::{Process, Stage};
use crate::handler_process::protocol::{Hello, Message};
use crate::handler_process::run::{Run, failure, log_line, progress, success};

impl Process {
    /// Handles all messages that were received completely.
    pub(super) fn take_messages(&mut self) {
        while let Some(message) = self.lines.next() {
            self.last_message_at = self.clock.boot_time();
            if std::mem::take(&mut self.is_silent) {
                self.pool.set_silent(self.number, false);
                info!(
                    command = self.pool.label,
                    pid = self.pid,
                    "a handler process is no longer silent"
                );
            }
            match message {
                Ok(message) => self.take(message),
                Err(garbage) if self.concurrency.is_none() => self.refuse(&garbage.to_string()),
                Err(garbage) => self.replace(&garbage.to_string()),
            }
        }
    }

    fn take(&mut self, message: Message) {
        match (self.concurrency, message) {
            (None, Message::Hello(hello)) => self.take_hello(&hello),
            (Some(_), Message::Hello(_)) => self.replace("it said hello twice"),
            (None, _) => self.refuse("its first message is not a hello"),
            (_, Message::Alive(_)) => {}
            (_, Message::Progress(message)) => {
                if let Some(run) = self.run(&message.id) {
                    run.output.progress(progress(message));
                }
            }
            (_, Message::Log(log)) => {
                if let Some(run) = self.run(&log.id) {
                    run.output.line(log_line(&log));
                }
            }
            (_, Message::Done(done)) => {
                if let Some(run) = self.remove(&done.id) {
                    self.end(run, success(&done));
                }
            }
            (_, Message::Failed(failed)) => {
                if let Some(run) = self.remove(&failed.id) {
                    self.end(run, failure(failed));
                }
            }
        }
    }

    fn take_hello(&mut self, hello: &Hello) {
        if self.stage != Stage::Running || self.is_retired {
            return;
        }
        let accepted = match hello.problem() {
            Some(problem) => Err(problem),
            None => self.pool.said_hello(self.number, hello),
        };
        match accepted {
            Ok(()) => {
                self.concurrency = Some(hello.concurrency());
                self.silent_after = hello.silent_after();
                let (command, types) = (&self.pool.label, hello.types.join(","));
                let (concurrency, sdk) = (hello.concurrency(), hello.sdk.as_deref());
                info!(
                    command,
                    pid = self.pid,
                    types,
                    concurrency,
                    sdk,
                    "a handler process is ready"
                );
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    /// Rejects a process that cannot be used.
    pub(super) fn refuse(&mut self, problem: &str) {
        if self.refusal.is_none() {
            let (command, pid) = (&self.pool.label, self.pid);
            warn!(command, pid, "a handler process is not used: {problem}");
            self.refusal = Some(problem.to_owned());
            self.is_retired = true;
            self.pool.mark_exiting(self.number);
        }
    }

    /// The execution that a message is about. A report may arrive after its execution has ended, so an
    /// unknown id is not a violation of the protocol.
    fn run(&self, id: &str) -> Option<&Run> {
        self.runs.get(&id.parse().ok()?)
    }

    /// Removes the execution that a message ends.
    fn remove(&mut self, id: &str) -> Option<Run> {
        // Output that was flushed before the message still belongs to the execution.
        let written = self.output.written() + &self.errors.written();
        if !written.is_empty() {
            self.written(&written);
        }
        let removed = id.parse().ok().and_then(|id| self.runs.remove(&id));
        if removed.is_none() {
            self.replace("it answered for an execution that it does not hold");
        }
        removed
    }
}
