//! The job type `command`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use polychron_consumer::testing::{FakeContext, Ran};
use serde_json::json;
use shared::outcome::Outcome;
use testkit::{Folder, eventually};
use tokio_util::sync::CancellationToken;

use crate::known;

/// A listed program.
struct Program {
    folder: Folder,
    path: String,
}

impl Program {
    /// A shell script.
    fn new(script: &str) -> Program {
        let folder = Folder::new();
        let path = folder.path("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Program { path: path.display().to_string(), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path("file")
    }

    async fn run(&self, context: FakeContext, arguments: &[&str], input: &str) -> Ran {
        let argv: Vec<&str> = [self.path.as_str()].iter().chain(arguments).copied().collect();
        let registry = known(&[("POLYCHRON_COMMANDS", &self.path)]);
        context.run_type(&registry, "command", json!({"argv": argv, "input": input})).await
    }

    /// The processes whose command line has this text.
    fn alive(&self, text: &str) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
            .filter(|line| line.contains(text))
            .collect()
    }
}

/// A number of seconds by which the test finds its own `sleep` processes.
fn nap() -> String {
    let bytes = shared::random::Random::system().bytes::<4>();
    format!("86400.{}", u32::from_be_bytes(bytes))
}

#[tokio::test]
async fn a_program_gets_its_arguments_and_input_and_nothing_else() {
    let program = Program::new(r#"cat; echo "[$1]" >&2; env | sort; pwd"#);
    let context = FakeContext::new().tenant("acme").attempt(3);
    let ran = program.run(context, &["a b; echo $HOME"], "from stdin\n").await;
    assert_eq!(ran.result(), &json!({"exit_status": 0}));
    let output = &ran.output;
    assert!(
        output.starts_with("from stdin\n") && output.contains("[a b; echo $HOME]\n"),
        "{output}"
    );
    assert!(output.ends_with("\n/\n"), "{output}");
    for line in output.lines().filter(|line| line.contains('=')) {
        let ours = ["PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_=", "POLYCHRON_"];
        assert!(ours.iter().any(|name| line.starts_with(name)), "{line} was inherited");
    }
    assert!(output.contains("POLYCHRON_TENANT=acme\n") && output.contains("POLYCHRON_ATTEMPT=3\n"));
}

#[tokio::test]
async fn only_listed_programs_run() {
    let program = Program::new("touch $(dirname $0)/file");
    let listed = program.path.clone();
    let registry = known(&[("POLYCHRON_COMMANDS", &listed)]);
    for (argv, problem) in [
        (json!(["/bin/sh", "-c", "true"]), "not listed"),
        (json!([format!("{listed}/../program")]), "not listed"),
        (json!([format!("{listed} x")]), "not listed"),
        (json!(["program"]), "not listed"),
        (json!([]), "is empty"),
        (json!([listed, "a\0b"]), "contains a NUL byte"),
        (json!([listed, "hunter2-hunter2"]), "contains a secret"),
        (json!("x"), "cannot be read"),
    ] {
        let context = FakeContext::new().secrets(&["hunter2-hunter2".to_owned()]);
        let ran = context.run_type(&registry, "command", json!({"argv": argv})).await;
        assert!(ran.failure().message.contains(problem), "{argv}: {:?}", ran.failure());
    }
    let extra = json!({"argv": [listed], "environment": {"LD_PRELOAD": "/tmp/x.so"}});
    let ran = FakeContext::new().run_type(&registry, "command", extra).await;
    assert!(ran.failure().message.contains("unknown field"), "{:?}", ran.failure());
    assert!(!program.file().exists());
    program.run(FakeContext::new(), &[], "").await.result();
    assert!(program.file().exists(), "a listed program runs");

    let off = FakeContext::new().run_type(&known(&[]), "command", json!({})).await;
    assert!(matches!(off.outcome, Outcome::UnknownType { .. }));
}

#[tokio::test]
async fn a_failing_exit_status_is_the_error() {
    let ran = Program::new("echo why; exit 3").run(FakeContext::new(), &[], "").await;
    assert_eq!(ran.failure().message, "the program ended with status 3");
    assert!(ran.failure().retry && ran.output == "why\n");
    let ran = Program::new("kill -9 $$").run(FakeContext::new(), &[], "").await;
    assert_eq!(ran.failure().message, "the program was ended by signal 9");
    let gone = known(&[("POLYCHRON_COMMANDS", "/nonexistent/program")]);
    let payload = json!({"argv": ["/nonexistent/program"]});
    let ran = FakeContext::new().run_type(&gone, "command", payload).await;
    assert!(ran.failure().message.contains("cannot be started"), "{:?}", ran.failure());
}

#[tokio::test]
async fn much_output_is_cut_and_secrets_are_not_in_it() {
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo \"line $i ü $(cat /dev/null)\"; i=$((i+1)); done; cat";
    let secret = "hunter2-hunter2".to_owned();
    let context = FakeContext::new().secrets(std::slice::from_ref(&secret));
    let ran = Program::new(script).run(context, &[], &format!("the end {secret}")).await;
    assert!(ran.output.len() <= 16 * 1024 && ran.output.starts_with("[…] "));
    assert!(ran.output.ends_with("line 2999 ü \nthe end [secret]"), "{:.60}", ran.output);
    let noise = Program::new("head -c 3000000 /dev/urandom").run(FakeContext::new(), &[], "").await;
    assert!(noise.result()["exit_status"] == 0 && !noise.output.contains('\0'));
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_gets_sigkill() {
    let handles_sigterm = Program::new(
        "trap 'echo saved > $(dirname $0)/file; exit 0' TERM; echo up; sleep 60 & wait",
    );
    let ignores_sigterm = Program::new("trap '' TERM; echo up; while :; do sleep 1; done");
    for program in [&handles_sigterm, &ignores_sigterm] {
        let limit = Duration::from_secs(1);
        let ran = program.run(FakeContext::new().timeout(limit), &[], "").await;
        assert_eq!(ran.outcome, Outcome::Timeout { limit });
        // A shell may also report that its child was terminated.
        assert!(ran.output.starts_with("up\n"), "{}", ran.output);
        assert_eq!(program.alive(&program.path), [""; 0]);
    }
    assert_eq!(std::fs::read_to_string(handles_sigterm.file()).unwrap(), "saved\n");
}

/// Starts children in the process group, in a session of its own, forked twice, and holding the
/// output open.
const DESCENDANTS: &str = r#"
sleep $1 &
setsid sleep $1 &
(setsid sh -c "sleep $1 & exit" &)
nohup setsid sleep $1 >/dev/null 2>&1 &
sleep 0.2
echo up
"#;

#[tokio::test]
async fn no_descendant_survives_the_program() {
    for (end, last) in [("success", "exit 0"), ("failure", "exit 1"), ("cancel", "wait; sleep 60")]
    {
        let program = Program::new(&format!("{DESCENDANTS}{last}"));
        let (nap, cancel) = (nap(), CancellationToken::new());
        let arguments = [nap.as_str()];
        let context = FakeContext::new().cancel_by(cancel.clone());
        let stopping = async {
            eventually("all of them", || async { (program.alive(&nap).len() >= 4).then_some(()) })
                .await;
            if end == "cancel" {
                cancel.cancel();
            }
        };
        let (ran, ()) = tokio::join!(program.run(context, &arguments, ""), stopping);
        match end {
            "success" => assert_eq!(ran.result()["exit_status"], 0),
            "failure" => assert!(ran.failure().message.ends_with("status 1")),
            _ => assert_eq!(ran.outcome, Outcome::Cancelled),
        }
        eventually("no process is left", || async { program.alive(&nap).is_empty().then_some(()) })
            .await;
    }
}

/// Launchers kill the programs of a consumer that is killed (`launcher/tests/it/tree.rs`), so a
/// consumer that starts has none to clean up. A marked process may be another container's.
#[tokio::test]
async fn a_starting_consumer_kills_no_process() {
    let nap = nap();
    let mut marked = std::process::Command::new("/bin/sleep")
        .arg(&nap)
        .env("POLYCHRON_CONSUMER", "4194303:1")
        .spawn()
        .unwrap();
    let program = Program::new("exit 0");
    program.run(FakeContext::new(), &[], "").await.result();
    assert!(marked.try_wait().unwrap().is_none());
    marked.kill().unwrap();
    marked.wait().unwrap();
}

/// An environment that is cleared in a session of its own, double-forked.
#[tokio::test]
async fn a_descendant_that_clears_its_environment_dies_too() {
    let nap = nap();
    let program = Program::new(
        "(env -i setsid sh -c 'exec <&- >&- 2>&-; sleep '$1' & exit' &); while :; do sleep 1; done",
    );
    let arguments = [nap.as_str()];
    let cancel = CancellationToken::new();
    let context = FakeContext::new().cancel_by(cancel.clone());
    let stopping = async {
        eventually("it runs", || async {
            program.alive(&nap).iter().any(|line| line.starts_with("sleep")).then_some(())
        })
        .await;
        cancel.cancel();
    };
    let (_, ()) = tokio::join!(program.run(context, &arguments, ""), stopping);
    assert_eq!(program.alive(&nap), [""; 0]);
}

#[tokio::test]
async fn a_program_gains_no_privileges_and_may_run_as_another_user() {
    let program = Program::new("id -u; grep NoNewPrivs /proc/self/status");
    std::fs::set_permissions(program.folder.path(""), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    let settings = [("POLYCHRON_COMMANDS", program.path.as_str())];
    let as_nobody = [settings[0], ("POLYCHRON_COMMAND_USER", "65534:65534")];
    let payload = json!({"argv": [program.path]});
    let ran = FakeContext::new().run_type(&known(&settings), "command", payload.clone()).await;
    assert!(ran.output.ends_with("NoNewPrivs:\t1\n"), "{}", ran.output);
    let root = ran.output.starts_with("0\n");
    let ran = FakeContext::new().run_type(&known(&as_nobody), "command", payload).await;
    if root {
        assert!(ran.output.starts_with("65534\n"), "{ran:?}");
    } else {
        assert!(ran.failure().message.contains("cannot be started"), "{ran:?}");
    }
}
