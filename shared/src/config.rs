//! The settings.
//!
//! Each setting has one [`Key`] with its default and its name in the environment, as a flag and in
//! the file. Flags take precedence over the environment, the environment over the file, and the file
//! over the default. All problems are reported together, each with its key and remedy, before
//! anything starts.

mod collector;
mod flags;
mod handlers;
mod network;
mod reader;
mod system_user;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use collector::Collector;
pub use flags::{command, exit, from_arguments, read};
pub use handlers::{
    HANDLER_PROTOCOL, HANDLER_SOCKET, HandlerCommand, HandlerLimits, handler_environment,
};
pub use network::Network;
pub use system_user::SystemUser;

use crate::database_url::DatabaseUrl;
use crate::queue::AmqpUrl;
use crate::secrets::Secrets;
use crate::string_enum::string_enum;
use reader::Reader;

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
    DRAIN_TIMEOUT = "POLYCHRON_DRAIN_TIMEOUT", "25s", "how long running jobs may take to finish after SIGTERM; at least 5 s less than Kubernetes, Docker or systemd wait before SIGKILL";
    LEASE = "POLYCHRON_LEASE", "60s", "how long a consumer may go without a heartbeat before its executions are rescued; it sends four heartbeats per lease";
    HTTP = "POLYCHRON_HTTP", "off", "address on which producer and consumer serve /metrics, /health/live and /health/ready, such as 127.0.0.1:9090";
    LISTEN = "POLYCHRON_LISTEN", "127.0.0.1:8484", "address on which `polychron serve`, `up` and `demo` serve dashboard and API; without POLYCHRON_USERS only loopback";
    USERS = "POLYCHRON_USERS", "", "a TOML file with the users of dashboard and API; `polychron user new` writes its entries";
    SESSION = "POLYCHRON_SESSION", "12h", "how long a sign-in to the dashboard lasts at most; one that is not used for two hours ends earlier";
    PROXIES = "POLYCHRON_PROXIES", "", "the proxies in front of the dashboard, whose X-Forwarded-For is believed: networks such as 10.1.0.0/16,127.0.0.1";
    MANAGEMENT = "POLYCHRON_MANAGEMENT", "", "RabbitMQ's management UI, http:// or https://, for the dashboard's link to it";
    CONNECTIONS = "POLYCHRON_CONNECTIONS", "auto", "maximum number of connections of one process to one database server; auto: 20, and at most a twelfth of what a PostgreSQL server allows";
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
    /// The maximum number of connections of this process to one database server; none: see
    /// [`Connections::within`](crate::store::Connections::within).
    pub connections: Option<usize>,
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
        let mut reader = Reader::new(sources);
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
            prefetch: reader
                .parse(&PREFETCH, |text| values::whole_number(text, 1, 2000))
                .unwrap_or(5),
            job_timeout: reader.duration(&JOB_TIMEOUT, 1, 30 * 86_400),
            poll_interval: reader.duration(&POLL_INTERVAL, 1, 3600),
            queues: reader.parse(&QUEUES, values::queues).unwrap_or_default(),
            drain_timeout: reader.duration(&DRAIN_TIMEOUT, 0, 86_400),
            lease: reader.duration(&LEASE, 4, 3600),
            http: reader.parse(&HTTP, values::address).flatten(),
            listen: reader.parse(&LISTEN, values::listen).unwrap_or(LISTEN_DEFAULT),
            users: reader.parse(&USERS, PathBuf::from_str),
            session: reader.duration(&SESSION, 1, 30 * 86_400),
            proxies: reader.parse(&PROXIES, values::networks).unwrap_or_default(),
            management: reader.parse(&MANAGEMENT, values::web_address),
            connections: reader.parse(&CONNECTIONS, values::connections).flatten(),
            ack_timeout: reader.duration(&ACK_TIMEOUT, 60, 365 * 86_400),
            keep: reader.retention(&KEEP),
            keep_per_job: reader.parse(&KEEP_PER_JOB, values::retained_number).flatten(),
            keep_audit: reader.retention(&KEEP_AUDIT),
            http_allow: reader.parse(&HTTP_ALLOW, values::networks).unwrap_or_default(),
            commands: reader.parse(&COMMANDS, values::programs).unwrap_or_default(),
            command_user: reader.parse(&COMMAND_USER, SystemUser::from_str),
            handlers: reader.handlers(),
            exchanges: reader.parse(&EXCHANGES, values::exchanges).unwrap_or_default(),
            exchanges_url: reader.parse(&EXCHANGES_URL, AmqpUrl::from_str),
            secrets: reader
                .parse(&SECRETS, |path| Secrets::read(path.as_ref()))
                .unwrap_or_default(),
            diagnostics: reader.parse(&DIAGNOSTICS, values::switch).unwrap_or_default(),
            collector: reader.parse(&COLLECTOR, Collector::from_str),
            log: reader.parse(&LOG, values::filter).unwrap_or_default(),
            log_format: reader.parse(&LOG_FORMAT, LogFormat::from_str).unwrap_or(LogFormat::Text),
        };
        if reader.problems.is_empty() { Ok(config) } else { Err(Problems(reader.problems)) }
    }
}

#[cfg(test)]
mod tests;
