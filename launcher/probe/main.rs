//! For tests: an engine that runs the script in its first argument and prints the output, and the
//! launcher that the tests use.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]
#![allow(clippy::print_stdout, reason = "its tests read it")]

use std::io::Write as _;

use polychron_launcher::{Confinement, Launch, Launcher, Role, Start, answer};
use tokio::io::AsyncReadExt as _;

/// Reads one file and writes another; prints both results.
fn touch(argument: &str) -> i32 {
    let mut paths = argument.split(' ');
    let (read, write) = (paths.next().unwrap(), paths.next().unwrap());
    println!("{:?}", std::fs::read_to_string(read).map_err(|error| error.kind()));
    println!("{:?}", std::fs::write(write, "written").map_err(|error| error.kind()));
    7
}

fn panics(_: &str) -> i32 {
    panic!("out of cheese")
}

fn main() {
    answer(&[Role { name: "touch", run: touch }, Role { name: "panics", run: panics }]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(engine());
}

async fn engine() {
    let script = std::env::args().nth(1).unwrap();
    let own_signals_only = std::env::args().nth(2).unwrap() == "sealed";
    let launch = Launch {
        start: Start::Program {
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script],
            environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            folder: "/".into(),
            user: None,
            channel: None,
        },
        confinement: Confinement { own_signals_only, ..Confinement::default() },
    };
    let mut launched = Launcher::itself_or(None).launch(launch).await.unwrap();
    let mut buffer = [0; 1024];
    let mut out = std::io::stdout();
    while let Ok(count @ 1..) = launched.output.read(&mut buffer).await {
        out.write_all(&buffer[..count]).unwrap();
        out.flush().unwrap();
    }
    println!("{:?}", launched.running.wait().await.unwrap());
}
