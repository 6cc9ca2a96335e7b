//! The setting `handlers`: commands whose processes handle job types. A flag or the environment has
//! command lines; the configuration file may have a table for each, with more settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use serde::Deserialize;

use super::values::duration_between;
use super::{KEYS, SystemUser};
use crate::environment;
use crate::secrets::Secrets;

/// The variable that tells a handler process the descriptor of its socket.
pub const HANDLER_SOCKET: &str = "POLYCHRON_FD";

/// The variable that tells it the versions of the protocol.
pub const HANDLER_PROTOCOL: &str = "POLYCHRON_PROTOCOL";

const PROCESSES_MAX: usize = 2000;
/// The shortest and the longest `start_timeout`, in seconds.
const START_SECONDS: (u64, u64) = (1, 600);
const MIB: u64 = 1 << 20;

/// A command that starts handler processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandlerCommand {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The maximum number of processes; none: one for each slot.
    pub processes: Option<usize>,
    /// Variables added to the environment.
    pub environment: BTreeMap<String, String>,
    /// The working directory; none: the consumer's own.
    pub folder: Option<PathBuf>,
    /// The user that they run as; none: the consumer's own.
    pub user: Option<SystemUser>,
    /// The job types taken from it; empty: all that it offers.
    pub types: BTreeSet<String>,
    /// Whether one process may hold executions of several tenants at once.
    pub share_tenants: bool,
    /// How long a process may take to say hello; none: 30 s.
    pub start_timeout: Option<Duration>,
    /// A process is replaced after this many executions.
    pub recycle_after: Option<u64>,
    /// A process is replaced once its resident memory exceeds this, in bytes.
    pub recycle_above: Option<u64>,
    /// Limits that the kernel enforces in each process.
    pub limits: HandlerLimits,
}

/// Limits that the kernel enforces in each process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlerLimits {
    /// Open descriptors.
    pub open_files: Option<u64>,
    /// Virtual memory, in MiB.
    pub address_space_mib: Option<u64>,
    /// The size of a file that it writes, in MiB.
    pub file_mib: Option<u64>,
    /// Processor time, in seconds.
    pub cpu_seconds: Option<u64>,
}

/// A table `[[handlers]]` of the configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    command: Words,
    processes: Option<usize>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    folder: Option<PathBuf>,
    user: Option<String>,
    #[serde(default)]
    types: BTreeSet<String>,
    #[serde(default)]
    share_tenants: bool,
    start_timeout: Option<String>,
    recycle_after: Option<u64>,
    recycle_above_mib: Option<u64>,
    #[serde(default)]
    limits: HandlerLimits,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Line(String),
    List(Vec<String>),
}

impl HandlerCommand {
    /// The command as a person would type it; it may be cut.
    pub fn label(&self) -> String {
        const CHARACTERS_MAX: usize = 120;
        let joined = shlex::try_join(self.argv.iter().map(String::as_str));
        let line = joined.unwrap_or_else(|_| self.argv.join(" "));
        match line.char_indices().nth(CHARACTERS_MAX) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }

    fn of_line(line: &str) -> Result<HandlerCommand, String> {
        let argv = shlex::split(line).ok_or("has a quote that is not closed")?;
        HandlerCommand { argv, ..HandlerCommand::default() }.checked()
    }

    fn checked(self) -> Result<HandlerCommand, String> {
        let whole = |number: Option<u64>| number != Some(0);
        if self.argv.first().is_none_or(String::is_empty) {
            return Err("names no program".to_owned());
        }
        if self.argv.iter().chain(self.environment.values()).any(|text| text.contains('\0')) {
            return Err("contains a NUL character".to_owned());
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if let Some(name) = self.environment.keys().find(|name| !is_name(name)) {
            return Err(format!(
                "has a variable `{name}` in environment, which is not a valid name"
            ));
        }
        if self.processes.is_some_and(|count| !(1..=PROCESSES_MAX).contains(&count)) {
            return Err(format!("has processes that is not from 1 to {PROCESSES_MAX}"));
        }
        if self.folder.as_ref().is_some_and(|folder| !folder.is_absolute()) {
            return Err("has a folder that is not an absolute path".to_owned());
        }
        if !whole(self.recycle_after) || !whole(self.recycle_above) {
            return Err("has a recycle_after or recycle_above_mib of 0; leave it out".to_owned());
        }
        Ok(self)
    }
}

impl Table {
    fn read(self) -> Result<HandlerCommand, String> {
        let argv = match self.command {
            Words::Line(line) => HandlerCommand::of_line(&line)?.argv,
            Words::List(words) => words,
        };
        let start_timeout = self.start_timeout.as_deref().map(|text| {
            let read = duration_between(text, START_SECONDS.0, START_SECONDS.1);
            read.map_err(|why| format!("has a start_timeout that {why}"))
        });
        let user = self.user.as_deref().map(SystemUser::from_str).transpose();
        let command = HandlerCommand {
            argv,
            processes: self.processes,
            environment: self.environment,
            folder: self.folder,
            user: user.map_err(|why| format!("has a user that {why}"))?,
            types: self.types,
            share_tenants: self.share_tenants,
            start_timeout: start_timeout.transpose()?,
            recycle_after: self.recycle_after,
            recycle_above: self.recycle_above_mib.map(|mib| mib.saturating_mul(MIB)),
            limits: self.limits,
        };
        command.checked()
    }
}

/// Reads command lines, one a line. Words are split as a shell would; nothing else is interpreted.
pub(super) fn lines(text: &str) -> Result<Vec<HandlerCommand>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(HandlerCommand::of_line).collect()
}

/// Reads the tables or command lines of the configuration file.
pub(super) fn tables(value: &toml::Value) -> Result<Vec<HandlerCommand>, String> {
    let values = value.as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(value));
    let numbered = values.iter().enumerate();
    let read = numbered.map(|(at, value)| {
        let read = match value {
            toml::Value::String(line) => HandlerCommand::of_line(line),
            toml::Value::Table(table) => {
                // The error's display would quote the table, whose environment may have a password.
                let table = table.clone().try_into::<Table>();
                table
                    .map_err(|error| format!("is malformed: {}", error.message()))
                    .and_then(Table::read)
            }
            _ => Err("is neither a command line nor a table with `command`".to_owned()),
        };
        read.map_err(|why| format!("entry {} {why}", at + 1))
    });
    read.collect()
}

/// This process's environment without what is not a handler's business: our own settings, which
/// contain the URL of the control database, and the secrets that payloads name.
pub fn handler_environment(secrets: &Secrets) -> BTreeMap<String, String> {
    // What is not UTF-8 cannot be passed on in a request to the launcher.
    of_handlers(environment::variables().into_iter(), secrets)
}

fn of_handlers(
    all: impl Iterator<Item = (String, String)>,
    secrets: &Secrets,
) -> BTreeMap<String, String> {
    let of_ours = |name: &str| {
        let secret = KEYS.iter().filter(|key| key.secret);
        name.starts_with("POLYCHRON_")
            || name.starts_with("TENANT_DATABASE_URL")
            || secret.map(|key| key.name).any(|key| name == key || name == format!("{key}_FILE"))
    };
    all.filter(|(name, _)| !of_ours(name) && !secrets.reads_variable(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn words_are_split_as_a_shell_would_and_nothing_is_expanded() {
        let read =
            lines("python -m polychron 'app jobs'\n\n  node \"a b.js\" $HOME *.js  \n").unwrap();
        assert_eq!(read[0].argv, argv(&["python", "-m", "polychron", "app jobs"]));
        assert_eq!(read[1].argv, argv(&["node", "a b.js", "$HOME", "*.js"]));
        assert_eq!(read[0].label(), "python -m polychron 'app jobs'");
        for (line, why) in [("python 'x", "not closed"), ("''", "names no program")] {
            assert!(lines(line).unwrap_err().contains(why), "{line}");
        }
    }

    #[test]
    fn a_table_has_every_setting() {
        let text = r#"
            [[handlers]]
            command = "python -m polychron app.jobs"
            processes = 4
            environment = { MODE = "production" }
            folder = "/srv/app"
            user = "10001:33"
            types = ["report"]
            share_tenants = true
            start_timeout = "90s"
            recycle_after = 1000
            recycle_above_mib = 512
            limits = { open_files = 64, address_space_mib = 4096, file_mib = 10, cpu_seconds = 60 }
            [[handlers]]
            command = ["node", "a b.js"]
        "#;
        let table = text.parse::<toml::Table>().unwrap();
        let read = tables(&table["handlers"]).unwrap();
        assert_eq!(read[0].processes, Some(4));
        assert_eq!(read[0].user, Some(SystemUser { user: 10001, group: 33 }));
        assert_eq!(read[0].start_timeout, Some(Duration::from_secs(90)));
        assert_eq!(read[0].recycle_above, Some(512 << 20));
        assert_eq!(read[0].limits.address_space_mib, Some(4096));
        assert!(read[0].share_tenants && read[0].types.contains("report"));
        assert_eq!(read[1].argv, argv(&["node", "a b.js"]));
    }

    #[test]
    fn a_wrong_table_is_refused_without_its_environment() {
        let wrong = [
            ("handlers = [{ command = \"x\", process = 4 }]", "unknown field"),
            ("handlers = [{ processes = 4 }]", "missing field `command`"),
            ("handlers = [{ command = \"x\", processes = 0 }]", "from 1 to"),
            ("handlers = [{ command = \"x\", folder = \"srv\" }]", "absolute"),
            ("handlers = [{ command = \"x\", user = \"nobody at all\" }]", "a user that"),
            ("handlers = [{ command = [] }]", "names no program"),
            (
                "handlers = [{ command = \"x\", environment = { A = \"hunter2\", B = 1 } }]",
                "malformed",
            ),
            (
                "handlers = [{ command = \"x\", environment = { \"A=\" = \"\" } }]",
                "not a valid name",
            ),
            ("handlers = [{ command = \"x\", recycle_after = 0 }]", "leave it out"),
            ("handlers = [{ command = \"x\", start_timeout = \"1h\" }]", "a start_timeout that"),
            ("handlers = [7]", "neither"),
        ];
        for (text, why) in wrong {
            let table = text.parse::<toml::Table>().unwrap();
            let problem = tables(&table["handlers"]).unwrap_err();
            assert!(problem.starts_with("entry 1 ") && problem.contains(why), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_handler_inherits_no_setting_and_no_secret() {
        let names = [
            "PATH",
            "FLASK_APP",
            "DATABASE_URL",
            "DATABASE_URL_FILE",
            "AMQP_URL",
            "POLYCHRON_SECRETS",
            "POLYCHRON_FD",
            "POLYCHRON_EXCHANGES_URL",
            "TENANT_DATABASE_URL",
            "SMTP_SECRET",
        ];
        let secrets =
            Secrets::parse("[SMTP]\nenvironment = \"SMTP_SECRET\"\ntenants = []").unwrap();
        let all = names.iter().map(|name| (name.to_string(), "x".to_owned()));
        let left: Vec<String> = of_handlers(all, &secrets).into_keys().collect();
        assert_eq!(left, ["FLASK_APP", "PATH"]);
    }
}
