//! One handler process, from its start to the death of its process tree.
//!
//! A protocol violation affects only the executions that the process holds. The process is replaced after
//! it, once those have ended. It is stopped earlier only because of a deadline, a cancellation or a lost
//! lease.

mod ending;
mod messages;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use launcher::{Launch, Launched, Launcher, Running};
use shared::clock::{BootTime, Clock};
use shared::id::ExecutionId;
use shared::outcome::Outcome;
use shared::secrets::Redactor;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tracing::{info, warn};

use super::pipe::Pipe;
use super::pool::{End, Pool, ProcessNumber};
use super::process_log::ProcessLog;
use super::protocol::{Lines, Order};
use super::run::{Request, Run, Stop, grace};
use crate::stop::StopReason;

/// How long a process may take to say hello, unless the operator says otherwise.
const HELLO_LIMIT: Duration = Duration::from_secs(30);
/// How long a process with a stuck execution keeps running so that its other executions can finish.
const OTHERS_LIMIT: Duration = Duration::from_secs(30);
/// How long a process may take to exit after its socket was closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// The same if the process closed the socket itself, as an exiting process does.
const EXIT_LIMIT: Duration = Duration::from_secs(2);
/// Threads that handlers left behind may print secrets of this many earlier executions.
const PAST_SECRETS: usize = 4;
/// The maximum number of bytes per read, so that one process does not keep others waiting.
const READ_BYTES_MAX: usize = 64 << 10;

/// What is needed to start a process.
pub(super) struct Starter {
    pub(super) launcher: Launcher,
    /// The request to the launcher, or why there is none.
    pub(super) launch: Result<Launch, String>,
    /// The consumer's name.
    pub(super) worker: String,
}

/// A running process.
struct Process {
    pool: Arc<Pool>,
    number: ProcessNumber,
    worker: String,
    clock: Clock,
    pid: i32,
    running: Running,
    socket: UnixStream,
    /// The same socket, read directly: tokio's reactor may not have noticed yet that it is readable.
    raw: StdStream,
    /// Whether the process can still send messages.
    is_readable: bool,
    /// Whether the process closed the socket itself.
    closed_itself: bool,
    lines: Lines,
    /// Messages that the socket has not accepted yet.
    unsent: Vec<u8>,
    output: Pipe,
    errors: Pipe,
    log: ProcessLog,
    hello_by: BootTime,
    /// How many executions it runs concurrently; none before its hello.
    concurrency: Option<usize>,
    runs: BTreeMap<ExecutionId, Run>,
    /// The secrets of the last executions that had some.
    past_secrets: VecDeque<Redactor>,
    executed: u64,
    last_message_at: BootTime,
    /// After how long without a message it is unresponsive, according to its hello.
    silent_after: Option<Duration>,
    is_silent: bool,
    /// Whether it starts no more executions.
    is_retired: bool,
    /// Why its hello was not accepted.
    refusal: Option<String>,
    /// When the process is stopped because of a stuck execution, even if others have not finished.
    others_end: Option<BootTime>,
    stage: Stage,
}

/// The stages of ending a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The socket is closed; SIGTERM follows at this time.
    Closing(BootTime),
    /// SIGTERM was sent; the launcher sends SIGKILL.
    Stopping,
}

/// Starts a process and supervises it until its process tree is dead.
pub(super) async fn run(
    pool: Arc<Pool>,
    number: ProcessNumber,
    requests: mpsc::UnboundedReceiver<Request>,
    starter: Arc<Starter>,
) {
    match start(&pool, number, &starter).await {
        Ok(process) => Box::pin(process.supervise(requests)).await,
        Err(reason) => {
            let command = &pool.label;
            warn!(command, "a handler process cannot be started: {reason}");
            pool.exited(number, &End::Refused(reason), String::new());
        }
    }
}

async fn start(
    pool: &Arc<Pool>,
    number: ProcessNumber,
    starter: &Starter,
) -> Result<Process, String> {
    let launched = crate::launching::launch(&starter.launcher, starter.launch.clone()?).await;
    let Launched { output, errors, channel, pid, running, .. } =
        launched.map_err(|error| error.to_string())?;
    let socket = channel.ok_or_else(|| "the launcher passed no socket".to_owned())?;
    let raw = socket.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let raw = StdStream::from(raw);
    let pipe = |pipe| Pipe::new(pipe).map_err(|error: io::Error| error.to_string());
    let (clock, label) = (pool.clock.clone(), pool.label.clone());
    let now = clock.boot_time();
    info!(command = label, pid, "a handler process was started");
    Ok(Process {
        pool: pool.clone(),
        number,
        worker: starter.worker.clone(),
        log: ProcessLog::new(label, pid, clock.clone()),
        clock,
        pid,
        running,
        raw,
        socket,
        is_readable: true,
        closed_itself: false,
        lines: Lines::default(),
        unsent: Vec::new(),
        output: pipe(output)?,
        errors: pipe(errors)?,
        hello_by: now + hello_limit(pool),
        concurrency: None,
        runs: BTreeMap::new(),
        past_secrets: VecDeque::new(),
        executed: 0,
        last_message_at: now,
        silent_after: None,
        is_silent: false,
        is_retired: false,
        refusal: None,
        others_end: None,
        stage: Stage::Running,
    })
}

impl Process {
    async fn supervise(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let exit = loop {
            let next = self.next_deadline().map(|at| at - self.clock.boot_time());
            let clock = self.clock.clone();
            let timer = async move {
                match next {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(request) = requests.recv() => self.handle(request).await,
                ready = self.socket.readable(), if self.is_readable => {
                    let _ = ready; // reading reports an error, if there is one
                    self.read().await;
                    // Tokio alone would let it read 128 times before another task gets its turn: for
                    // seconds, if the process sends without end.
                    yield_now().await;
                }
                ready = self.socket.writable(), if !self.unsent.is_empty() => {
                    let _ = ready;
                    self.write().await;
                }
                text = self.output.next() => {
                    self.written(&text);
                    yield_now().await;
                }
                text = self.errors.next() => {
                    self.written(&text);
                    yield_now().await;
                }
                exit = self.running.wait() => break exit,
                () = timer => self.on_time().await,
            }
        };
        self.exited(exit, requests);
    }

    async fn handle(&mut self, request: Request) {
        match request {
            Request::Start(run) if self.is_retired || self.stage != Stage::Running => run.reject(),
            Request::Start(run) => {
                self.unsent.extend_from_slice(&run.line);
                self.runs.insert(run.id, Run { line: Vec::new(), ..*run });
                self.write().await;
            }
            Request::Cancel { id, why } => {
                let at = self.clock.boot_time() + grace(why);
                let Some(run) = self.runs.get_mut(&id) else { return };
                run.stop = Some(Stop { at, why });
                let grace_ms = u64::try_from(grace(why).as_millis()).unwrap_or_default();
                let cancel = Order::Cancel { id, why, grace_ms };
                self.unsent.extend_from_slice(&cancel.line().unwrap_or_default());
                self.write().await;
            }
            Request::Retire => {
                self.retire();
                self.close_if_idle().await;
            }
            Request::End => {
                self.retire();
                for run in self.runs.values_mut() {
                    let now = self.clock.boot_time();
                    run.stop.get_or_insert(Stop { at: now, why: StopReason::Shutdown });
                }
                self.close_if_idle().await;
            }
        }
    }

    /// Sends as much as the socket accepts. Never blocks, so a process that does not read delays only itself.
    async fn write(&mut self) {
        while !self.unsent.is_empty() {
            match self.socket.try_write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.unsent.clear();
                    return self.lost_contact();
                }
            }
        }
    }

    async fn read(&mut self) {
        // On the heap, because it would enlarge the future.
        let mut buffer = vec![0; READ_BYTES_MAX];
        match self.socket.try_read(&mut buffer) {
            Ok(0) => self.lost_contact(),
            Ok(count) => {
                self.lines.push(&buffer[..count]);
                self.take_messages();
                self.close_if_idle().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.lost_contact(),
        }
    }

    /// The process has closed its end of the socket and can send no more messages.
    fn lost_contact(&mut self) {
        self.is_readable = false;
        self.is_retired = true;
        self.pool.mark_exiting(self.number);
        if self.stage == Stage::Running {
            self.closed_itself = true;
            self.stage = Stage::Closing(self.clock.boot_time() + EXIT_LIMIT);
        }
    }

    /// What the process wrote to its standard output or errors.
    fn written(&mut self, text: &str) {
        let past = &self.past_secrets;
        let text = &past.iter().fold(text.to_owned(), |text, past| past.redact(&text));
        let mut runs = self.runs.values();
        match (self.concurrency, runs.next(), runs.next()) {
            (Some(1), Some(run), None) => run.output.write(text),
            _ => {
                // Any of its executions may have written it, so redact the secrets of all.
                let runs = self.runs.values();
                let now = runs.map(|run| run.output.redactor());
                let all = now.chain(&self.past_secrets);
                let redact =
                    |text: &str| all.fold(text.to_owned(), |text, secrets| secrets.redact(&text));
                self.log.write(text, redact);
            }
        }
    }

    fn retire(&mut self) {
        if !self.is_retired {
            self.is_retired = true;
            self.pool.retire(self.number);
        }
    }

    /// Replaces the process after a mistake, once its executions have ended.
    fn replace(&mut self, mistake: &str) {
        if !self.is_retired {
            let (command, pid, running) = (&self.pool.label, self.pid, self.runs.len());
            warn!(command, pid, running, "a handler process is replaced: {mistake}");
            self.retire();
        }
    }

    /// Ends an execution whose outcome the process has sent.
    fn end(&mut self, run: Run, outcome: Outcome) {
        self.executed += 1;
        let secrets = run.output.redactor();
        if secrets.longest() > 0 {
            self.past_secrets.truncate(PAST_SECRETS - 1);
            self.past_secrets.push_front(secrets.clone());
        }
        self.pool.worked();
        if self.must_be_recycled() {
            self.retire();
        }
        run.end(outcome);
    }

    /// Whether the process must be recycled: it has reached the number of executions or the memory that the
    /// operator allows.
    fn must_be_recycled(&self) -> bool {
        let command = &self.pool.command;
        command.recycle_after.is_some_and(|most| self.executed >= most)
            || command.recycle_above.is_some_and(|most| resident_bytes(self.pid) > most)
    }
}

/// How long a process of the pool may take to say hello.
fn hello_limit(pool: &Pool) -> Duration {
    pool.command.start_timeout.unwrap_or(HELLO_LIMIT)
}

/// The resident memory of a process; 0 if it cannot be read.
fn resident_bytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}
