//! A process of one of the workspace's programs.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Folder, eventually};

/// A process that is killed when this is dropped. Its log goes to a file, which is shown if the test
/// fails.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    _folder: Folder,
}

impl Process {
    /// Starts one of the workspace's programs, or one by its absolute path, with only this environment.
    pub fn start(program: &str, environment: &[(String, String)]) -> Process {
        Process::start_with(program, &[], environment)
    }

    /// The same, with arguments.
    pub fn start_with(
        program: &str,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Process {
        let folder = Folder::new();
        let log = folder.path("log");
        let out = File::create(&log).unwrap();
        let child = Command::new(testkit::program(program))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        Process { child, name: program.to_owned(), log, _folder: folder }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it by SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has exited.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.child);
        eventually("the process ends", || async { child.borrow_mut().try_wait().unwrap() }).await
    }

    /// Whether it has exited.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until its log contains this text.
    pub async fn logged(&self, text: &str) {
        let log = &self.log;
        eventually(&format!("`{text}` in the log of {}", self.name), || async move {
            std::fs::read_to_string(log).unwrap().contains(text).then_some(())
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have exited
        let _ = self.child.wait();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test has failed, and this may say why")]
            {
                eprintln!("--- log of {} {} ---\n{}", self.name, self.child.id(), self.log());
            }
        }
    }
}
