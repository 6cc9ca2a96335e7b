//! What a program cannot do.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use polychron_launcher::{Confinement, Exit, Files, Landlock, LaunchError, Limit, Start, User};
use rustix::io::{FdFlags, fcntl_setfd};
use testkit::Folder;

use crate::{PROBE, confined, finished, launch, run, shell};

/// An unprivileged user.
const NOBODY: u32 = 65534;

#[tokio::test]
async fn no_descriptor_of_the_engine_is_inherited() {
    let file = std::fs::File::open("/dev/null").unwrap();
    fcntl_setfd(file.as_fd(), FdFlags::empty()).unwrap();
    let list = "ls /proc/$$/fd; :";
    let (output, _) = run(shell(list), Confinement::default()).await;
    assert_eq!(output, "0\n1\n2\n");
    let (output, _) =
        run(shell(&format!("exec 9</dev/null; {list}")), Confinement::default()).await;
    assert_eq!(output, "0\n1\n2\n9\n", "the test can fail");
}

#[tokio::test]
async fn privileges_cannot_be_gained() {
    let script = "grep NoNewPrivs /proc/self/status";
    for own_signals_only in [false, true] {
        let (output, _) = run(shell(script), confined(own_signals_only)).await;
        assert_eq!(output.split_whitespace().last(), Some("1"), "{output}");
    }
}

#[tokio::test]
async fn limits_hold() {
    let limits = vec![
        (Limit::OpenFiles, 33),
        (Limit::Core, 0),
        (Limit::FileBytes, 1 << 20),
        (Limit::Cpu, 1),
    ];
    let confinement = Confinement { limits, ..Confinement::default() };
    let (output, _) = run(shell("ulimit -n; ulimit -Hn; ulimit -c"), confinement.clone()).await;
    assert_eq!(output, "33\n33\n0\n");
    let (_, exit) = run(shell("while :; do :; done"), confinement).await;
    assert!(matches!(exit, Exit::Signal(24 | 9)), "SIGXCPU or SIGKILL, not {exit:?}");
    let (output, _) = run(shell("cat /proc/self/limits"), Confinement::default()).await;
    let mine = std::fs::read_to_string("/proc/self/limits").unwrap();
    assert_eq!(output, mine, "limits that were not requested");
}

#[tokio::test]
async fn landlock_allows_only_the_named_files_or_is_reported_as_unavailable() {
    let folder = Folder::new();
    for name in ["mine", "theirs"] {
        std::fs::write(folder.path(name), name).unwrap();
    }
    let scratch = folder.path("scratch");
    let files = Files {
        read: vec!["/usr".into(), "/lib".into(), "/lib64".into(), "/bin".into()],
        write: vec![folder.path("mine")],
        scratch: Some(scratch.clone()),
    };
    let confinement = Confinement { files: Some(files), ..Confinement::default() };
    let script = format!(
        "cd {}; cat mine; echo more >>mine; cat theirs; echo x >theirs; rm theirs; ls; echo x >scratch/file && cat scratch/file",
        folder.path("").display()
    );
    let launched = launch(shell(&script), confinement.clone()).await.unwrap();
    let landlock = launched.landlock;
    let (output, _) = finished(launched).await;
    let theirs = std::fs::read_to_string(folder.path("theirs"));
    if landlock == Landlock::Unavailable {
        assert!(theirs.is_err(), "unrestricted, as reported");
        return;
    }
    assert!(output.starts_with("minex\n"), "{output}");
    assert_eq!(output.matches("ermission denied").count(), 4, "{output}");
    assert_eq!(theirs.unwrap(), "theirs");
    assert_eq!(std::fs::read_to_string(folder.path("mine")).unwrap(), "minemore\n");
    assert!(!scratch.exists(), "it is removed");

    // A role can run without access to its own program's file.
    let argument = format!("{} {}", folder.path("theirs").display(), folder.path("mine").display());
    let role = Start::Role { name: "touch".into(), argument };
    let (output, _) = run(role, confinement).await;
    assert_eq!(output, "Err(PermissionDenied)\nOk(())\n");
}

#[tokio::test]
async fn the_network_can_be_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!(
        "perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(\"127.0.0.1:{port}\") ? \"in\" : \"out\"'"
    );
    for no_network in [false, true] {
        let confinement = Confinement { no_network, ..Confinement::default() };
        let launched = launch(shell(&connect), confinement).await.unwrap();
        let holds = no_network && matches!(launched.landlock, Landlock::Available(4..));
        assert_eq!(finished(launched).await.0, if holds { "out" } else { "in" });
    }
}

/// Reads what may contain a password, of the launcher and of the engine.
const SPY: &str = "for pid in $PPID $(sed -n 's/^PPid:\\t//p' /proc/$PPID/status); do \
    tr '\\0' '\\n' </proc/$pid/environ; head -c 1 /proc/$pid/mem; cat /proc/$pid/maps; ls /proc/$pid/fd; done";

#[tokio::test]
async fn the_engine_cannot_be_read_by_a_program_of_the_same_user() {
    let folder = Folder::new();
    let probe = folder.path("probe");
    std::fs::copy(PROBE, &probe).unwrap();
    std::fs::set_permissions(folder.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    for sealed in ["sealed", "unsealed"] {
        let mut engine = Command::new(&probe);
        engine.args([SPY, sealed]).env("DATABASE_URL", "postgres://ann:hunter2@db/control");
        if rustix::process::getuid().is_root() {
            engine.uid(NOBODY).gid(NOBODY);
        }
        let output = tokio::task::spawn_blocking(move || engine.output()).await.unwrap().unwrap();
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("Status("), "{said} {complained}");
        assert!(!said.contains("hunter2") && !said.contains("/lib"), "{said}");
    }
    // The test can fail: without a launcher, the environment is readable.
    let mut plain = Command::new("/bin/sh");
    plain
        .env("DATABASE_URL", "hunter2")
        .args(["-c", "sh -c 'tr \"\\0\" \"\\n\" </proc/$PPID/environ'; :"]);
    assert!(String::from_utf8_lossy(&plain.output().unwrap().stdout).contains("hunter2"));
}

#[tokio::test]
async fn a_program_may_run_as_another_user() {
    let Start::Program { path, environment, folder, .. } = shell("") else { unreachable!() };
    let user = Some(User { user: NOBODY, group: NOBODY });
    let arguments =
        vec!["-c".into(), format!("id -u; id -G; cat /proc/{}/environ", std::process::id())];
    let start = Start::Program { path, arguments, environment, folder, user, channel: None };
    let launched = launch(start, confined(true)).await;
    if !rustix::process::getuid().is_root() {
        assert!(
            matches!(launched.map(|_| ()), Err(LaunchError::Refused(reason)) if reason.contains("permitted"))
        );
        return;
    }
    let (output, _) = finished(launched.unwrap()).await;
    assert!(output.starts_with("65534\n65534\n"), "{output}");
    assert!(output.contains("ermission denied"), "{output}");
}
