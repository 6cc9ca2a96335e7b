//! `polychron producer` and `polychron consumer`, up to where they need services.

use shared::config::KEYS;

use crate::console::{BOTH, Console};

const DAEMONS: [&str; 2] = ["producer", "consumer"];

#[tokio::test]
async fn a_daemon_takes_every_setting_and_none_of_the_commands_flags() {
    let console = Console::bare(BOTH[0]).await;
    for daemon in DAEMONS {
        let help = console.run(&[daemon, "--help"]).succeeded().stdout;
        for key in KEYS.iter().filter(|key| !key.secret) {
            assert!(help.contains(&format!("--{} ", key.flag())), "{daemon}: {}", key.name);
        }
        assert!(help.contains("AMQP_URL") && help.contains("--version"), "{help}");
        for flag in ["--output", "--reason", "--dry-run"] {
            assert!(!help.contains(flag), "{daemon}: {flag}");
        }
    }
}

#[tokio::test]
async fn a_daemon_exits_with_2_on_wrong_usage() {
    let mut console = Console::bare(BOTH[0]).await;
    for daemon in DAEMONS {
        console.run(&[daemon]).ended(2).says(&["AMQP_URL is not set"]);
    }
    console.set("AMQP_URL", "amqp://127.0.0.1:1");
    for daemon in DAEMONS {
        console.run(&[daemon, "--dry-run"]).ended(2).says(&["runs until it is stopped"]);
        console.run(&[daemon, "--prefetch", "none"]).ended(2).says(&["--prefetch is `none`"]);
    }
}
