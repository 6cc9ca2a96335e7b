//! The settings, and the only place that reads the environment.
//!
//! Each setting has one [`Key`] with its default and its name in the environment, as a flag and in
//! the file. Flags take precedence over the environment, the environment over the file, and the file
//! over the default. All problems are reported together, each with its key and remedy, before
//! anything starts.

mod flags;
mod handlers;
mod network;
mod system_user;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use flags::{command, environment, exit, from_arguments, read};
pub use handlers::{
    HANDLER_PROTOCOL, HANDLER_SOCKET, HandlerCommand, HandlerLimits, handler_environment,
};
pub use network::Network;
pub use system_user::SystemUser;

use crate::database_url::DatabaseUrl;
use crate::private_file;
use crate::queue::AmqpUrl;
use crate::secrets::Secrets;
use crate::string_enum::string_enum;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the environment.
    pub name: &'static str,
    /// Whether it may contain a secret. Such a setting is never a flag; `<NAME>_FILE` may name a
    /// file that contains it.
    pub secret: bool,
    /// The default; empty means none.
    pub default: &'static str,
    /// Its meaning, with the unit.
    pub help: &'static str,
}

impl Key {
    /// Its name in the configuration file: `POLYCHRON_JOB_TIMEOUT` is `job_timeout`.
    pub fn in_file(&self) -> String {
        self.name.strip_prefix("POLYCHRON_").unwrap_or(self.name).to_lowercase()
    }

    /// Its name as a flag, without the dashes: `job-timeout`.
    pub fn flag(&self) -> String {
        self.in_file().replace('_', "-")
    }
}

macro_rules! keys {
    ($($constant:ident = $name:literal $(, $secret:ident)?, $default:literal, $help:literal;)+) => {
        $( const $constant: Key = Key {
            name: $name,
            secret: false $(|| stringify!($secret).len() > 0)?,
            default: $default,
            help: $help,
        }; )+
        /// Every setting, in the order of the help.
        pub const KEYS: &[Key] = &[$($constant),+];
    };
}

keys! {
    DATABASE_URL = "DATABASE_URL", secret, "", "the control database, postgres:// or sqlite://";
    AMQP_URL = "AMQP_URL", secret, "", "RabbitMQ, amqp:// or amqps://";
    PREFETCH = "POLYCHRON_PREFETCH", "5", "maximum concurrent executions in one consumer process (slots), and its AMQP prefetch on each queue";
    JOB_TIMEOUT = "POLYCHRON_JOB_TIMEOUT", "30m", "timeout of a job whose timeout_seconds is null";
    POLL_INTERVAL = "POLYCHRON_POLL_INTERVAL", "30s", "maximum time until a change made by plain SQL in a tenant's tables is seen";
    QUEUES = "POLYCHRON_QUEUES", "default", "the queues that a consumer receives from, separated by commas; a producer declares them";
    DRAIN_TIMEOUT = "POLYCHRON_DRAIN_TIMEOUT", "30s", "how long running jobs may take to finish after SIGTERM";
    LEASE = "POLYCHRON_LEASE", "60s", "how long a consumer may go without a heartbeat before its executions are rescued; it sends four heartbeats per lease";
    HTTP = "POLYCHRON_HTTP", "off", "address on which producer and consumer serve /metrics, /health/live and /health/ready, such as 127.0.0.1:9090";
    LISTEN = "POLYCHRON_LISTEN", "127.0.0.1:8484", "address on which `polychron serve`, `up` and `demo` serve dashboard and API; without POLYCHRON_USERS only loopback";
    USERS = "POLYCHRON_USERS", "", "a TOML file with the users of dashboard and API; `polychron user new` writes its entries";
    SESSION = "POLYCHRON_SESSION", "12h", "how long a sign-in to the dashboard lasts at most; one that is not used for two hours ends earlier";
    PROXIES = "POLYCHRON_PROXIES", "", "the proxies in front of the dashboard, whose X-Forwarded-For is believed: networks such as 10.1.0.0/16,127.0.0.1";
    MANAGEMENT = "POLYCHRON_MANAGEMENT", "", "RabbitMQ's management UI, http:// or https://, for the dashboard's link to it";
    CONNECTIONS = "POLYCHRON_CONNECTIONS", "20", "maximum number of connections of one process to one database server";
    ACK_TIMEOUT = "POLYCHRON_ACK_TIMEOUT", "30m", "RabbitMQ's consumer_timeout, which AMQP does not report; `check` compares the longest job timeout with it";
    KEEP = "POLYCHRON_KEEP", "90d", "how long executions are kept; off: forever. Each job's newest ten, last success and last failure always stay";
    KEEP_PER_JOB = "POLYCHRON_KEEP_PER_JOB", "100000", "maximum number of executions kept per job; off: unlimited";
    KEEP_AUDIT = "POLYCHRON_KEEP_AUDIT", "730d", "how long the audit (who changed what) is kept; off: forever";
    HTTP_ALLOW = "POLYCHRON_HTTP_ALLOW", "", "private addresses that `http` jobs may call: networks such as 10.1.0.0/16,127.0.0.1";
    COMMANDS = "POLYCHRON_COMMANDS", "", "programs that `command` jobs may run, by absolute path, separated by commas";
    COMMAND_USER = "POLYCHRON_COMMAND_USER", "", "the user that those programs run as, a name or UID:GID; by default the consumer's own. Needs the privilege to switch to it";
    HANDLERS = "POLYCHRON_HANDLERS", "", "a command that starts handler processes, such as `python -m polychron app.jobs`; one a line, or [[handlers]] tables in the file (docs/handlers.md)";
    EXCHANGES = "POLYCHRON_EXCHANGES", "", "exchanges that `amqp` jobs may publish to, separated by commas; {tenant} in a name stands for the tenant's slug";
    EXCHANGES_URL = "POLYCHRON_EXCHANGES_URL", secret, "", "the RabbitMQ that has those exchanges, if it is not the one in AMQP_URL";
    SECRETS = "POLYCHRON_SECRETS", "", "a TOML file with the secrets that payloads may name, and the tenants that may use them";
    DIAGNOSTICS = "POLYCHRON_DIAGNOSTICS", "off", "on: a consumer also handles the diagnostic job types noop, sleep, fail, panic, block and record";
    COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces are sent by OTLP over HTTP, such as http://host:4318; needs the feature otel";
    LOG = "POLYCHRON_LOG", "info", "what is logged: error, warn, info, debug or trace, or directives such as info,polychron_shared=debug";
    LOG_FORMAT = "POLYCHRON_LOG_FORMAT", "text", "text (for people) or json (for programs)";
}

/// The environment variable that names a configuration file, like `--config`.
const CONFIG_FILE: &str = "POLYCHRON_CONFIG";

/// The program that launches others for a process that cannot do so itself, such as a test harness.
const LAUNCHER: &str = "POLYCHRON_LAUNCHER";
/// Tells tests of handlers in other languages where `polychron` is (`sdk/python`).
const PROGRAM: &str = "POLYCHRON_PROGRAM";

/// The program that `POLYCHRON_LAUNCHER` names, else `polychron` on the `PATH`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn launcher() -> Option<PathBuf> {
    let named = std::env::var_os(LAUNCHER).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("polychron"))
            .find(|path| path.is_file())
    })
}

/// The default of `POLYCHRON_LISTEN`; used only if the setting is invalid, which is then reported.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8484);

string_enum! {
    /// How log lines are written.
    pub enum LogFormat {
        /// One line of text per event, for people.
        Text = "text",
        /// One JSON object per event, for programs.
        Json = "json",
    }
}

/// A collector of traces. The connection is not encrypted, so the network must be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub authority: String,
    /// The path before `/v1/traces`; may be empty.
    pub path: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Collector, String> {
        let remedy = "is not an http:// URL without a user, such as http://127.0.0.1:4318; for https, \
                      run a collector on this machine";
        let rest = text.strip_prefix("http://").ok_or(remedy)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if authority.contains('@') || path.contains(char::is_whitespace) || authority.is_empty() {
            return Err(remedy.to_owned());
        }
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:4318") };
        Ok(Collector { authority, path: path.trim_end_matches('/').to_owned() })
    }
}

/// The settings of one process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control database; present if the program requires it.
    pub database_url: Option<DatabaseUrl>,
    /// RabbitMQ; present if the program requires it.
    pub amqp_url: Option<AmqpUrl>,
    /// The maximum number of concurrent executions in one consumer process.
    pub prefetch: usize,
    /// The timeout of jobs without their own.
    pub job_timeout: Duration,
    /// The maximum time until a change made by plain SQL in a tenant's tables is seen.
    pub poll_interval: Duration,
    /// The queues that a consumer receives from and a producer declares.
    pub queues: Vec<String>,
    /// How long running jobs may take to finish after SIGTERM.
    pub drain_timeout: Duration,
    /// How long a consumer may go without a heartbeat before its executions are rescued.
    pub lease: Duration,
    /// The address of health and metrics.
    pub http: Option<SocketAddr>,
    /// The address of dashboard and API.
    pub listen: SocketAddr,
    /// The file of the users of dashboard and API.
    pub users: Option<PathBuf>,
    /// How long a sign-in to the dashboard lasts at most.
    pub session: Duration,
    /// The proxies whose `X-Forwarded-For` names the client.
    pub proxies: Vec<Network>,
    /// The address of RabbitMQ's management UI, for links.
    pub management: Option<String>,
    /// The maximum number of connections of this process to one database server.
    pub connections: usize,
    /// RabbitMQ's `consumer_timeout`, according to the operator.
    pub ack_timeout: Duration,
    /// How long executions are kept; none: forever.
    pub keep: Option<Duration>,
    /// How many executions are kept per job; none: unlimited.
    pub keep_per_job: Option<i64>,
    /// How long the audit is kept; none: forever.
    pub keep_audit: Option<Duration>,
    /// Private networks that `http` jobs may call.
    pub http_allow: Vec<Network>,
    /// Programs that `command` jobs may run.
    pub commands: Vec<PathBuf>,
    /// The user that they run as; none: the consumer's own.
    pub command_user: Option<SystemUser>,
    /// Commands that start handler processes.
    pub handlers: Vec<HandlerCommand>,
    /// Exchanges that `amqp` jobs may publish to.
    pub exchanges: Vec<String>,
    /// The broker with those exchanges; none: the one in `amqp_url`.
    pub exchanges_url: Option<AmqpUrl>,
    /// The secrets that payloads may name.
    pub secrets: Secrets,
    /// Whether the diagnostic job types are handled.
    pub diagnostics: bool,
    /// The collector that traces are sent to.
    pub collector: Option<Collector>,
    /// The level or directives of the log.
    pub log: String,
    /// The format of the log.
    pub log_format: LogFormat,
}

/// The sources of settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The flags, by [`Key::name`].
    pub flags: BTreeMap<String, String>,
    /// The environment, by the variable's name.
    pub environment: BTreeMap<String, String>,
    /// The configuration file's text, if there is one.
    pub file: Option<String>,
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", numbered(.0))]
pub struct Problems(pub Vec<String>);

fn numbered(problems: &[String]) -> String {
    let count = problems.len();
    let mut text =
        format!("the configuration has {count} problem{}:", if count == 1 { "" } else { "s" });
    for problem in problems {
        let _ = write!(text, "\n  - {problem}");
    }
    text
}

impl Config {
    /// Reads the settings, of which those in `required` must be set.
    ///
    /// # Errors
    /// All problems together.
    pub fn read(sources: &Sources, required: &[&str]) -> Result<Config, Problems> {
        let mut reader =
            Reader { sources, file: BTreeMap::new(), handlers: None, problems: Vec::new() };
        reader.read_file();
        reader.refuse_unknown();
        for key in KEYS.iter().filter(|key| required.contains(&key.name)) {
            if reader.text(key).is_none() {
                let problem = format!(
                    "{} is not set: set it in the environment, or set {}_FILE to a file that contains it ({})",
                    key.name, key.name, key.help
                );
                reader.problems.push(problem);
            }
        }
        let config = Config {
            database_url: reader.parse(&DATABASE_URL, DatabaseUrl::from_str),
            amqp_url: reader.parse(&AMQP_URL, AmqpUrl::from_str),
            prefetch: reader.parse(&PREFETCH, |text| whole_number(text, 1, 2000)).unwrap_or(5),
            job_timeout: reader.duration(&JOB_TIMEOUT, 1, 30 * 86_400),
            poll_interval: reader.duration(&POLL_INTERVAL, 1, 3600),
            queues: reader.parse(&QUEUES, queues).unwrap_or_default(),
            drain_timeout: reader.duration(&DRAIN_TIMEOUT, 0, 86_400),
            lease: reader.duration(&LEASE, 4, 3600),
            http: reader.parse(&HTTP, address).flatten(),
            listen: reader.parse(&LISTEN, listen).unwrap_or(LISTEN_DEFAULT),
            users: reader.parse(&USERS, PathBuf::from_str),
            session: reader.duration(&SESSION, 1, 30 * 86_400),
            proxies: reader.parse(&PROXIES, networks).unwrap_or_default(),
            management: reader.parse(&MANAGEMENT, web_address),
            connections: reader
                .parse(&CONNECTIONS, |text| whole_number(text, 1, 10_000))
                .unwrap_or(20),
            ack_timeout: reader.duration(&ACK_TIMEOUT, 60, 365 * 86_400),
            keep: reader.retention(&KEEP),
            keep_per_job: reader.parse(&KEEP_PER_JOB, retained_number).flatten(),
            keep_audit: reader.retention(&KEEP_AUDIT),
            http_allow: reader.parse(&HTTP_ALLOW, networks).unwrap_or_default(),
            commands: reader.parse(&COMMANDS, programs).unwrap_or_default(),
            command_user: reader.parse(&COMMAND_USER, SystemUser::from_str),
            handlers: reader.handlers(),
            exchanges: reader.parse(&EXCHANGES, exchanges).unwrap_or_default(),
            exchanges_url: reader.parse(&EXCHANGES_URL, AmqpUrl::from_str),
            secrets: reader
                .parse(&SECRETS, |path| Secrets::read(path.as_ref()))
                .unwrap_or_default(),
            diagnostics: reader.parse(&DIAGNOSTICS, switch).unwrap_or_default(),
            collector: reader.parse(&COLLECTOR, Collector::from_str),
            log: reader.parse(&LOG, filter).unwrap_or_default(),
            log_format: reader.parse(&LOG_FORMAT, LogFormat::from_str).unwrap_or(LogFormat::Text),
        };
        if reader.problems.is_empty() { Ok(config) } else { Err(Problems(reader.problems)) }
    }
}

/// Collects values and problems.
struct Reader<'a> {
    sources: &'a Sources,
    file: BTreeMap<String, String>,
    /// The file's value of the one setting that may have tables.
    handlers: Option<toml::Value>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn read_file(&mut self) {
        let Some(text) = &self.sources.file else { return };
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                // The whole error would quote the file, which may contain a password.
                let message = error.message();
                self.problems.push(format!("the configuration file is not TOML: {message}"));
                return;
            }
        };
        let known: BTreeSet<String> = KEYS.iter().map(Key::in_file).collect();
        for (name, value) in table {
            if name == HANDLERS.in_file() {
                self.handlers = Some(value);
                continue;
            }
            let text = match value {
                toml::Value::String(text) => Some(text),
                toml::Value::Integer(number) => Some(number.to_string()),
                toml::Value::Boolean(switch) => Some(if switch { "on" } else { "off" }.to_owned()),
                toml::Value::Array(values) => {
                    let texts: Option<Vec<&str>> = values.iter().map(toml::Value::as_str).collect();
                    texts.map(|texts| texts.join(","))
                }
                _ => None,
            };
            match text {
                _ if !known.contains(&name) => {
                    self.problems.push(format!("the configuration file has an unknown key `{name}`; known keys are {}", join(&known)));
                }
                Some(text) => {
                    self.file.insert(name, text);
                }
                None => self.problems.push(format!("`{name}` in the configuration file must be a string, an integer, true or false, or a list of strings")),
            }
        }
    }

    /// Reports misspelt names, which would have no effect.
    fn refuse_unknown(&mut self) {
        let known: BTreeSet<String> = KEYS
            .iter()
            .flat_map(|key| [key.name.to_owned(), format!("{}_FILE", key.name)])
            .chain(
                [CONFIG_FILE, HANDLER_SOCKET, HANDLER_PROTOCOL, LAUNCHER, PROGRAM]
                    .map(str::to_owned),
            )
            .collect();
        for name in self.sources.environment.keys() {
            let ours = name.starts_with("POLYCHRON_") && !name.starts_with("POLYCHRON_TEST_");
            if ours && !known.contains(name) {
                self.problems
                    .push(format!("{name} in the environment is not a setting; --help lists them"));
            }
        }
    }

    /// The value and, for messages, its source.
    fn text(&mut self, key: &Key) -> Option<(String, String)> {
        let Sources { flags, environment, .. } = self.sources;
        if let Some(value) = flags.get(key.name) {
            return Some((value.clone(), format!("--{}", key.flag())));
        }
        if let Some(value) = environment.get(key.name).filter(|value| !value.is_empty()) {
            return Some((value.clone(), key.name.to_owned()));
        }
        let file_variable = format!("{}_FILE", key.name);
        if let Some(path) = environment.get(&file_variable).filter(|_| key.secret) {
            return match private_file::read(Path::new(path)) {
                Ok(value) => Some((value.trim().to_owned(), file_variable)),
                Err(error) => {
                    self.problems.push(format!("{file_variable} names {path}, which {error}"));
                    None
                }
            };
        }
        if let Some(value) = self.file.get(&key.in_file()) {
            return Some((value.clone(), format!("`{}` in the configuration file", key.in_file())));
        }
        let default = (!key.default.is_empty()).then(|| key.default.to_owned());
        default.map(|value| (value, "the default".to_owned()))
    }

    fn parse<T, E: std::fmt::Display>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, source) = self.text(key)?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                // Do not quote a secret, not even an invalid one.
                let shown = if key.secret { String::new() } else { format!(" is `{text}`, which") };
                self.problems.push(format!("{source}{shown} {error} ({})", key.help));
                None
            }
        }
    }

    fn handlers(&mut self) -> Vec<HandlerCommand> {
        if self.text(&HANDLERS).is_some() {
            return self.parse(&HANDLERS, handlers::lines).unwrap_or_default();
        }
        let read = self.handlers.as_ref().map_or(Ok(Vec::new()), handlers::tables);
        read.unwrap_or_else(|why| {
            let problem =
                format!("`handlers` in the configuration file: {why} ({})", HANDLERS.help);
            self.problems.push(problem);
            Vec::new()
        })
    }

    fn duration(&mut self, key: &Key, seconds_min: u64, seconds_max: u64) -> Duration {
        self.parse(key, |text| duration_between(text, seconds_min, seconds_max)).unwrap_or_default()
    }

    /// A retention period; none: forever.
    fn retention(&mut self, key: &Key) -> Option<Duration> {
        let retention = |text: &str| match text {
            "off" => Ok(None),
            text => duration_between(text, 3600, 36_500 * 86_400).map(Some),
        };
        self.parse(key, retention).flatten()
    }
}

fn duration_between(text: &str, seconds_min: u64, seconds_max: u64) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "is not a duration such as 90s, 15m or 1h 30m".to_owned())?;
    let (min, max) = (Duration::from_secs(seconds_min), Duration::from_secs(seconds_max));
    if duration < min || duration > max {
        let show = humantime::format_duration;
        return Err(format!("is not between {} and {}", show(min), show(max)));
    }
    Ok(duration)
}

fn retained_number(text: &str) -> Result<Option<i64>, String> {
    match text {
        "off" => Ok(None),
        text => whole_number(text, 100, 1_000_000_000).map(|number| Some(number as i64)),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

fn whole_number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("is not a whole number from {min} to {max}"))
}

fn queues(text: &str) -> Result<Vec<String>, String> {
    let names: BTreeSet<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    };
    if names.iter().all(is_name) {
        Ok(names.into_iter().collect())
    } else {
        Err("is not a list of queues such as default,reports: a name has 1 to 64 of a-z, 0-9, _ and -"
            .to_owned())
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    list(text).map(Network::from_str).collect()
}

fn programs(text: &str) -> Result<Vec<PathBuf>, String> {
    let programs: Vec<PathBuf> = list(text).map(PathBuf::from).collect();
    if programs.iter().all(|program| program.is_absolute()) {
        Ok(programs)
    } else {
        Err("is not a list of absolute paths such as /usr/bin/pg_dump,/opt/acme/report".to_owned())
    }
}

/// Rejects our own exchanges: a job must not publish there.
fn exchanges(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = list(text).map(str::to_owned).collect();
    let reserved = |name: &String| name.starts_with("polychron.") || name.starts_with("amq.");
    if names.iter().any(|name| reserved(name) || name.len() > 200) {
        Err("names an exchange that begins with polychron. or amq., or is too long".to_owned())
    } else {
        Ok(names)
    }
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let address = text.parse().map(Some);
    address.map_err(|_| "is neither `off` nor an address such as 127.0.0.1:9090".to_owned())
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is not an address such as 127.0.0.1:8484".to_owned())
}

fn web_address(text: &str) -> Result<String, String> {
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web && !text.contains('@') {
        Ok(text.to_owned())
    } else {
        Err("is not an http:// or https:// address without a user".to_owned())
    }
}

fn filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is neither a level nor a list of directives".to_owned()),
    }
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
