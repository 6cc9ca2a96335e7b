//! Launchers and programs in real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod confinement;
mod start;
mod tree;

use std::path::PathBuf;
use std::time::Duration;

use polychron_launcher::{Confinement, Exit, Launch, LaunchError, Launched, Launcher, Start};
use testkit::eventually;
use tokio::io::AsyncReadExt as _;

/// The launcher, and an engine in a process that tests can kill and inspect.
const PROBE: &str = env!("CARGO_BIN_EXE_polychron-launcher-probe");

fn launcher() -> Launcher {
    Launcher::itself_or(Some(PathBuf::from(PROBE)))
}

/// A shell script.
fn shell(script: &str) -> Start {
    Start::Program {
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        folder: "/".into(),
        user: None,
        channel: None,
    }
}

/// With and without the kernel's restriction of signals: there are two ways to kill a tree.
fn confined(own_signals_only: bool) -> Confinement {
    Confinement { own_signals_only, ..Confinement::default() }
}

async fn launch(start: Start, confinement: Confinement) -> Result<Launched, LaunchError> {
    launcher().launch(Launch { start, confinement }).await
}

/// Its output, its errors and its exit.
async fn finished(mut launched: Launched) -> (String, Exit) {
    drop(launched.input);
    let (mut output, mut errors) = (String::new(), String::new());
    launched.output.read_to_string(&mut output).await.unwrap();
    launched.errors.read_to_string(&mut errors).await.unwrap();
    let exit = launched.running.wait().await.unwrap();
    (output + &errors, exit)
}

async fn run(start: Start, confinement: Confinement) -> (String, Exit) {
    finished(launch(start, confinement).await.unwrap()).await
}

/// How many `sleep` processes have this argument.
fn alive(text: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let has = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(text);
    lines.filter(|line| line.starts_with(b"sleep") && has(line)).count()
}

/// An argument for `sleep` that no other test uses.
fn nap() -> String {
    let bytes = shared::random::Random::system().bytes::<4>();
    format!("86400.{}", u32::from_be_bytes(bytes))
}

async fn all_gone(nap: &str) {
    eventually("nobody is left", || async { (alive(nap) == 0).then_some(()) }).await;
}

async fn all_there(nap: &str, count: usize) {
    eventually("all of them", || async { (alive(nap) >= count).then_some(()) }).await;
}

const SOON: Duration = Duration::from_millis(200);
