//! No descendant of a program outlives it.

use std::process::{Command, Stdio};
use std::time::Duration;

use polychron_launcher::{Exit, Landlock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{PROBE, SOON, all_gone, all_there, confined, finished, launch, nap, shell};

/// Six sleepers: in the program's group, in sessions of their own, double-forked, with an empty
/// environment, without descriptors.
fn brood(nap: &str, then: &str) -> String {
    format!(
        "sleep {nap} & setsid sleep {nap} & (setsid sh -c 'sleep {nap} & exit' &) \n\
         (env -i setsid sh -c 'exec <&- >&- 2>&-; sleep {nap} & exit' &) \n\
         env -i setsid nohup sleep {nap} </dev/null >/dev/null 2>&1 & \n\
         perl -e 'use POSIX; exit if fork; setsid; exit if fork; %ENV = (); POSIX::close($_) for 0..63; exec \"sleep\", \"{nap}\"' & \n\
         {then}"
    )
}

#[tokio::test]
async fn descendants_end_with_the_program_whatever_they_did_to_hide() {
    for own_signals_only in [false, true] {
        let nap = nap();
        let script = brood(&nap, "read go; exit 5");
        let mut launched = launch(shell(&script), confined(own_signals_only)).await.unwrap();
        all_there(&nap, 6).await;
        launched.input.write_all(b"go\n").await.unwrap();
        let exit = launched.running.wait().await.unwrap();
        assert_eq!(exit, Exit::Status(5));
        assert_eq!(crate::alive(&nap), 0, "all are dead before the exit is reported");
    }
}

#[tokio::test]
async fn a_stop_ends_all_descendants() {
    for own_signals_only in [false, true] {
        let nap = nap();
        let deaf = format!("trap '' TERM; {}", brood(&nap, "while :; do sleep 1; done"));
        let mut launched = launch(shell(&deaf), confined(own_signals_only)).await.unwrap();
        all_there(&nap, 6).await;
        launched.running.stop(SOON).await;
        assert_eq!(launched.running.wait().await.unwrap(), Exit::Signal(9));
        assert_eq!(crate::alive(&nap), 0);
    }
}

#[tokio::test]
async fn sigterm_comes_first_and_may_be_enough() {
    for own_signals_only in [false, true] {
        let script = "trap 'echo saved; exit 0' TERM; echo up; sleep 60 & wait";
        let mut launched = launch(shell(script), confined(own_signals_only)).await.unwrap();
        let mut up = [0; 3];
        launched.output.read_exact(&mut up).await.unwrap();
        launched.running.stop(Duration::from_secs(60)).await;
        let (output, exit) = finished(launched).await;
        assert!(output.starts_with("saved\n") && exit == Exit::Status(0), "{output} {exit:?}");
    }
}

#[tokio::test]
async fn dropping_the_handle_kills_the_tree() {
    for own_signals_only in [false, true] {
        let nap = nap();
        let launched =
            launch(shell(&brood(&nap, "wait")), confined(own_signals_only)).await.unwrap();
        all_there(&nap, 6).await;
        drop(launched);
        all_gone(&nap).await;
    }
}

#[tokio::test]
async fn programs_die_with_a_killed_engine() {
    for sealed in ["sealed", "unsealed"] {
        let nap = nap();
        let mut engine = Command::new(PROBE)
            .args([brood(&nap, "wait").as_str(), sealed])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        all_there(&nap, 6).await;
        engine.kill().unwrap();
        engine.wait().unwrap();
        all_gone(&nap).await;
    }
}

/// A chain of processes that fork and exit, so a scan of `/proc` never sees the same one twice.
const RUNAWAY: &str = r#"perl -e 'while (1) { my $pid = fork; next unless defined $pid; exit if $pid; select undef, undef, undef, 0.0002 }'; sleep NAP"#;

#[tokio::test]
async fn an_endless_chain_of_forks_is_killed() {
    for own_signals_only in [false, true] {
        let nap = nap();
        let script = RUNAWAY.replace("NAP", &nap);
        let mut launched = launch(shell(&script), confined(own_signals_only)).await.unwrap();
        all_there(&nap, 1).await;
        launched.running.stop(Duration::ZERO).await;
        launched.running.wait().await.unwrap();
        let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            std::fs::read_to_string(entry.path().join("cmdline"))
                .is_ok_and(|line| line.contains("0.0002") && line.starts_with("perl"))
        });
        assert_eq!(left.count(), 0);
    }
}

#[tokio::test]
async fn a_program_cannot_kill_its_launcher() {
    let nap = nap();
    let script = format!("setsid sleep {nap} & kill -9 $PPID; echo $?; kill -9 -1; echo $?");
    let launched = launch(shell(&script), confined(true)).await.unwrap();
    match launched.landlock {
        Landlock::Available(6..) => {
            let (output, exit) = finished(launched).await;
            assert!(output.starts_with("1\n"), "{output}");
            assert!(matches!(exit, Exit::Signal(9) | Exit::Status(_)));
        }
        // Older kernels cannot prevent it.
        _ => drop(launched),
    }
    let engine = Pid::from_raw(std::process::id() as i32).unwrap();
    assert!(kill_process(engine, Signal::CONT).is_ok());
    all_gone(&nap).await;
}
