//! Ends a process: it exits by itself, or is no longer needed, or holds a stuck execution.

use std::io::Read as _;

use launcher::{Exit, LaunchError};
use shared::clock::BootTime;
use shared::outcome::Outcome;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{CLOSE_LIMIT, OTHERS_LIMIT, Process, Stage};
use crate::handler_process::pool::End;
use crate::handler_process::protocol::Order;
use crate::handler_process::run::{Request, Run, term_limit};
use crate::stop::StopReason;

/// How many bytes of the last output the error of a crash includes.
const LAST_OUTPUT_BYTES: usize = 2048;

impl Process {
    /// When [`on_time`](Process::on_time) has something to do.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        let closing = match self.stage {
            Stage::Running => None,
            Stage::Closing(until) => Some(until),
            Stage::Stopping => return None,
        };
        let hello = (self.concurrency.is_none() && self.refusal.is_none()).then_some(self.hello_by);
        let silence = self.silence();
        let now = self.clock.boot_time();
        let stops = self.runs.values().filter_map(|run| Some(run.stop?.at));
        // Once an execution is stuck, its own deadline has passed and must not wake the loop again.
        let stop = stops.filter(|at| self.others_end.is_none() || *at > now).min();
        [closing, hello, silence, stop, self.others_end].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) async fn on_time(&mut self) {
        let now = self.clock.boot_time();
        if let Stage::Closing(until) = self.stage
            && now >= until
        {
            return self.stop(StopReason::Shutdown).await;
        }
        if self.concurrency.is_none() && self.refusal.is_none() && now >= self.hello_by {
            let seconds = super::hello_limit(&self.pool).as_secs();
            self.refuse(&format!("it said no hello within {seconds} s"));
            return self.close_if_idle().await;
        }
        if self.silence().is_some_and(|at| now >= at) {
            self.report_silence();
        }
        self.stop_if_stuck(now).await;
    }

    /// When the process becomes unresponsive; none if it promised nothing or is so already.
    fn silence(&self) -> Option<BootTime> {
        Some(self.last_message_at + self.silent_after.filter(|_| !self.is_silent)?)
    }

    fn report_silence(&mut self) {
        self.is_silent = true;
        self.pool.set_silent(self.number, true);
        let (command, pid) = (&self.pool.label, self.pid);
        let seconds = self.silent_after.unwrap_or_default().as_secs();
        match self.runs.values().next() {
            None => warn!(command, pid, seconds, "a handler process is silent"),
            Some(Run { id, tenant, job, .. }) => {
                warn!(command, pid, seconds, tenant, job, execution = %id, "a handler process is silent");
            }
        }
    }

    /// Stops the process if a cancelled execution has not ended within its grace. Its other executions get
    /// [`OTHERS_LIMIT`] to finish.
    async fn stop_if_stuck(&mut self, now: BootTime) {
        let is_stuck = |run: &&Run| run.stop.is_some_and(|stop| now >= stop.at);
        let Some(why) = self.runs.values().find(is_stuck).and_then(|run| Some(run.stop?.why))
        else {
            self.others_end = None;
            return;
        };
        self.replace("an execution was to stop and goes on");
        let others = self.runs.values().filter(|run| !is_stuck(run)).count();
        let until = *self.others_end.get_or_insert(now + OTHERS_LIMIT);
        if others == 0 || now >= until {
            self.give_back_others().await;
            self.stop(why).await;
        }
    }

    /// Cancels the other executions. Their attempts do not count.
    async fn give_back_others(&mut self) {
        for run in self.runs.values_mut().filter(|run| run.stop.is_none()) {
            run.is_given_back = true;
            let cancel = Order::Cancel { id: run.id, why: StopReason::Shutdown, grace_ms: 0 };
            self.unsent.extend_from_slice(&cancel.line().unwrap_or_default());
        }
        self.write().await;
    }

    /// Sends SIGTERM to the process tree, and later SIGKILL.
    async fn stop(&mut self, why: StopReason) {
        if self.stage != Stage::Stopping {
            self.stage = Stage::Stopping;
            self.running.stop(term_limit(why)).await;
        }
    }

    /// Makes a retired process exit once it holds no execution.
    pub(super) async fn close_if_idle(&mut self) {
        if !self.is_retired {
            return;
        }
        if !self.runs.is_empty() {
            // If the last execution that is not stuck has just ended, the process can be stopped now.
            return self.stop_if_stuck(self.clock.boot_time()).await;
        }
        if self.refusal.is_some() {
            return self.stop(StopReason::Shutdown).await;
        }
        if self.stage == Stage::Running {
            self.stage = Stage::Closing(self.clock.boot_time() + CLOSE_LIMIT);
            let _ = self.socket.shutdown().await; // it may be closed already
        }
    }

    /// Handles the exit of the process; its descendants are dead, too.
    pub(super) fn exited(
        mut self,
        exit: Result<Exit, LaunchError>,
        mut requests: mpsc::UnboundedReceiver<Request>,
    ) {
        requests.close();
        while let Ok(request) = requests.try_recv() {
            if let Request::Start(run) = request {
                run.reject();
            }
        }
        self.read_rest();
        let how = describe(exit);
        let written = self.output.rest() + &self.errors.rest();
        self.written(&written);
        let end = self.conclude(&how);
        let (pool, number) = (self.pool.clone(), self.number);
        let last_output = match end {
            End::Stopped | End::Crashed => String::new(),
            End::Died(_) | End::Refused(_) => self.log.tail(),
        };
        let (command, pid) = (&pool.label, self.pid);
        match &end {
            End::Died(_) => {
                warn!(command, pid, last_output, "an idle handler process died: it {how}");
            }
            End::Stopped | End::Crashed | End::Refused(_) => {
                info!(command, pid, "a handler process has ended: it {how}")
            }
        }
        pool.exited(number, &end, last_output);
        for run in std::mem::take(&mut self.runs).into_values() {
            let outcome = self.outcome_of_death(&run, &how);
            run.end(outcome);
        }
    }

    /// Reads the messages that the process sent before it died: an outcome that it has sent counts.
    fn read_rest(&mut self) {
        let mut buffer = [0; super::READ_BYTES_MAX];
        // Bounded, although a socket holds less than this and no process can write any more.
        for _ in 0..1024 {
            match self.raw.read(&mut buffer) {
                Ok(count @ 1..) => self.lines.push(&buffer[..count]),
                _ => break,
            }
            self.take_messages();
        }
    }

    fn conclude(&self, how: &str) -> End {
        let is_asked = self.stage != Stage::Running && !self.closed_itself;
        match &self.refusal {
            Some(refusal) => End::Refused(refusal.clone()),
            None if is_asked => End::Stopped,
            None if !self.runs.is_empty() => End::Crashed,
            None => End::Died(how.to_owned()),
        }
    }

    fn outcome_of_death(&mut self, run: &Run, how: &str) -> Outcome {
        if run.is_given_back {
            return Outcome::Shutdown { worker: self.worker.clone() };
        }
        let output = match self.concurrency {
            Some(1) => run.output.final_report().output.unwrap_or_default(),
            _ => self.log.tail(),
        };
        let from = output.ceil_char_boundary(output.len().saturating_sub(LAST_OUTPUT_BYTES));
        let detail = (!output.is_empty()).then(|| format!("its last output:\n{}", &output[from..]));
        Outcome::Crash { message: format!("the handler process {how}"), detail }
    }
}

/// How a process ended, as a phrase that follows "it".
fn describe(exit: Result<Exit, LaunchError>) -> String {
    match exit {
        Ok(Exit::Status(code)) => format!("exited with status {code}"),
        Ok(Exit::Signal(signal)) => format!("was killed by signal {}", name(signal)),
        Err(error) => format!("was lost: {error}"),
    }
}

fn name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL; if nobody sent it, the machine or its memory limit was out of memory",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}
