//! For tests: a launcher whose `sql` process, instead of executing statements, tries everything that
//! SQLite's authorizer would never let a statement try, and reports what succeeded. It shows what the
//! kernel refuses to that process, whatever code runs in it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]
#![allow(clippy::print_stdout, reason = "its output is the report")]

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use launcher::{Role, answer};
use rustix::process::{Pid, getppid, test_kill_process};
use serde_json::{Value, json};

fn main() {
    answer(&[Role { name: "sql", run: probe }]);
}

/// The argument is the assignment of a `sql` job; its statements name what to try.
fn probe(argument: &str) -> i32 {
    let assignment: Value = serde_json::from_str(argument).unwrap();
    let file = PathBuf::from(assignment["file"].as_str().unwrap());
    let scratch = PathBuf::from(assignment["scratch"].as_str().unwrap());
    let attempts = assignment["statements"].as_array().unwrap();
    let report: Vec<String> = attempts
        .iter()
        .map(|attempt| match attempt_to(attempt.as_str().unwrap(), &file, &scratch) {
            Ok(()) => format!("{}: done", attempt.as_str().unwrap()),
            Err(error) => format!("{}: {:?}", attempt.as_str().unwrap(), error.kind()),
        })
        .collect();
    println!("{}", json!({"Failed": {"message": report.join("\n"), "retry": false}}));
    1
}

fn attempt_to(attempt: &str, own: &Path, scratch: &Path) -> io::Result<()> {
    let (verb, object) = attempt.split_once(' ').unwrap();
    let append = |path: &Path| OpenOptions::new().append(true).open(path).map(|_| ());
    match verb {
        "read" => fs::read(object).map(|_| ()),
        "list" => fs::read_dir(object).map(|_| ()),
        "write" => append(Path::new(object)),
        "create" => fs::write(object, "x"),
        "delete" => fs::remove_file(object),
        "rename" => fs::rename(own, object),
        "link" => fs::hard_link(own, object),
        "symlink" => std::os::unix::fs::symlink(own, object),
        "execute" => std::process::Command::new(object).spawn().map(|_| ()),
        "connect" => TcpStream::connect(object).map(|_| ()),
        "listen" => TcpListener::bind(object).map(|_| ()),
        "abstract" => {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(object)?).map(|_| ())
        }
        // Signal 0 checks the permission only.
        "signal" if object == "launcher" => Ok(test_kill_process(getppid().unwrap())?),
        "signal" => Ok(test_kill_process(Pid::from_raw(object.parse().unwrap()).unwrap())?),
        // What it needs, so that a failure means a restriction and not a broken probe.
        "own" if object == "file" => fs::read(own).map(|_| ()).and_then(|()| append(own)),
        "own" => fs::write(scratch.join("temporary"), "x"),
        other => unreachable!("{other}"),
    }
}
