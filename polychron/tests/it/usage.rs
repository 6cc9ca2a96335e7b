//! How the command line is parsed, and how errors in it are reported.

use serde_json::Value;

use crate::console::{BOTH, Console};

#[tokio::test]
async fn errors_are_json_for_programs() {
    let console = Console::with_tenant(BOTH[0]).await;
    let id = "01934b7e-0000-7000-8000-0000000000ff";
    for (line, kind, code, text) in [
        (
            &["execution", "show", "acme", "x", "-o", "json"][..],
            "usage",
            2,
            "`polychron execution list",
        ),
        (&["execution", "show", "acme", id, "-o", "jsonl"], "not_found", 3, id),
        (&["--output=json", "job"], "usage", 2, "subcommand"),
        (&["tenant", "show", "x", "-o", "json"], "not_found", 3, "tenant list"),
        (&["job", "delete", "acme", "x", "-o", "json"], "not_found", 3, "job list acme"),
    ] {
        let answer = console.run(line).ended(code);
        let document: Value = serde_json::from_str(&answer.stderr).expect(&answer.stderr);
        let error = &document["error"];
        assert_eq!((error["kind"].as_str(), &error["code"]), (Some(kind), &code.into()));
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
        assert_eq!(answer.stdout, "");
    }
    console
        .run(&["execution", "show", "acme", "x"])
        .ended(2)
        .says(&["`x` is not the id of an execution"]);
}

#[test]
fn completions_are_written_for_each_shell() {
    let run = |shell: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polychron"));
        command.args(["completions", shell]).env_clear().output().unwrap()
    };
    for (shell, word) in [
        ("bash", "complete -F _polychron"),
        ("zsh", "#compdef polychron"),
        ("fish", "complete -c polychron"),
    ] {
        let output = run(shell);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for text in [word, "all-tenants", "dry-run", "execution"] {
            assert!(script.contains(text), "{shell}: {text}");
        }
    }
    assert_eq!(run("tcsh").status.code(), Some(2));
}
