//! What a program receives, and how its exit is reported.

use polychron_launcher::{Confinement, Exit, Launch, LaunchError, Launcher, Start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{confined, finished, launch, run, shell};

#[tokio::test]
async fn a_program_gets_only_what_the_request_names() {
    let start = Start::Program {
        path: "/bin/sh".into(),
        arguments: vec![
            "-c".into(),
            r#"cat; echo "[$1]" >&2; env; pwd"#.into(),
            "-".into(),
            "a b".into(),
        ],
        environment: vec![("ANSWER".into(), "42".into())],
        folder: "/usr".into(),
        user: None,
        channel: None,
    };
    let mut launched = launch(start, Confinement::default()).await.unwrap();
    launched.input.write_all("ü".repeat(10_000).as_bytes()).await.unwrap();
    let (output, exit) = finished(launched).await;
    assert_eq!(exit, Exit::Status(0));
    assert!(output.starts_with("üüü") && output.contains("ANSWER=42\n"), "{output:.100}");
    assert!(output.contains("/usr\n") && output.ends_with("[a b]\n"));
    let ours = |line: &&str| {
        !["ANSWER=", "PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|name| line.starts_with(name))
    };
    let foreign: Vec<&str> =
        output.lines().skip(1).filter(|line| line.contains('=')).filter(ours).collect();
    assert_eq!(foreign, [""; 0], "inherited");
}

#[tokio::test]
async fn the_exit_is_the_programs_own() {
    for own_signals_only in [false, true] {
        let confined = || confined(own_signals_only);
        assert_eq!(run(shell("exit 3"), confined()).await.1, Exit::Status(3));
        assert_eq!(run(shell("kill -9 $$"), confined()).await.1, Exit::Signal(9));
    }
}

#[tokio::test]
async fn a_failed_start_has_a_reason() {
    let missing = Start::Program {
        path: "/nonexistent/program".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: "/".into(),
        user: None,
        channel: None,
    };
    let role = Start::Role { name: "nobody".into(), argument: String::new() };
    for (start, problem) in [(missing, "No such file"), (role, "no role nobody")] {
        match launch(start, Confinement::default()).await {
            Err(LaunchError::Refused(reason)) => assert!(reason.contains(problem), "{reason}"),
            other => panic!("{:?}", other.map(|_| "it runs")),
        }
    }
    let none = Launcher::itself_or(None);
    let (start, confinement) = (shell("true"), Confinement::default());
    let refused =
        none.launch(Launch { start: start.clone(), confinement: confinement.clone() }).await;
    assert!(matches!(refused.map(|_| ()), Err(LaunchError::NoLauncher)), "nothing runs unconfined");
    // A program that does not call `answer`.
    let other = Launcher::itself_or(Some("/bin/true".into()));
    let refused = other.launch(Launch { start, confinement }).await;
    assert!(matches!(refused.map(|_| ()), Err(LaunchError::Lost)));
}

#[tokio::test]
async fn a_role_runs_our_own_code() {
    let role =
        |name: &str, argument: &str| Start::Role { name: name.into(), argument: argument.into() };
    let (output, exit) =
        run(role("touch", "/proc/self/comm /dev/full"), Confinement::default()).await;
    assert!(output.starts_with("Ok(") && output.contains("Err(StorageFull)"), "{output}");
    assert_eq!(exit, Exit::Status(7));
    let (output, exit) = run(role("panics", ""), Confinement::default()).await;
    assert!(output.contains("out of cheese"), "{output}");
    assert_eq!(exit, Exit::Status(1));
}

#[tokio::test]
async fn a_launcher_without_a_request_exits_with_its_engine() {
    use std::os::unix::process::CommandExt as _;
    let mut lonely = std::process::Command::new(crate::PROBE)
        .arg0("polychron-launcher")
        .stdin(
            std::os::unix::net::UnixStream::pair()
                .map(|(ours, _)| std::os::fd::OwnedFd::from(ours))
                .unwrap(),
        )
        .spawn()
        .unwrap();
    assert!(lonely.wait().unwrap().success());
}

#[tokio::test]
async fn a_program_gets_a_socket_on_request() {
    let script = r#"echo "on $CHANNEL" >&"$CHANNEL"; read -r line <&"$CHANNEL"; echo "got $line"; ls /proc/$$/fd | wc -w"#;
    let Start::Program { path, environment, folder, user, .. } = shell("") else { unreachable!() };
    let arguments = vec!["-c".into(), script.into()];
    let channel = Some("CHANNEL".to_owned());
    let start = Start::Program { path, arguments, environment, folder, user, channel };
    let mut launched = launch(start, confined(true)).await.unwrap();
    assert!(std::path::Path::new(&format!("/proc/{}", launched.pid)).exists());
    let mut socket = launched.channel.take().unwrap();
    socket.write_all(b"hello\n").await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    assert!(said == "on 3\n", "{said}");
    let (output, exit) = finished(launched).await;
    // Input, output, errors and the socket; nothing else was inherited.
    assert_eq!((output.as_str(), exit), ("got hello\n4\n", Exit::Status(0)));
}
