//! Settings on the command line.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};

use super::{CONFIG_FILE, Config, KEYS, Key, Problems, Sources};
use crate::environment;
use crate::private_file;

/// Adds a flag for each setting that is not secret, and lists the secret ones in the help.
pub fn command(command: Command) -> Command {
    let flags = KEYS.iter().filter(|key| !key.secret).map(flag);
    let file = Arg::new(CONFIG_FILE)
        .long("config")
        .value_name("FILE")
        .help(format!("a TOML file of settings, named like the flags: job_timeout = \"30m\" [env: {CONFIG_FILE}]"))
        .global(true)
        .help_heading("Settings");
    let secrets: Vec<String> = KEYS
        .iter()
        .filter(|key| key.secret)
        .map(|key| format!("  {:<14} {}", key.name, key.help))
        .collect();
    let after = format!(
        "Settings that may contain a password are read from the environment or from a file that \
         <NAME>_FILE names:\n{}\n\nFlags take precedence over the environment, the environment over \
         the file, and the file over the default.",
        secrets.join("\n")
    );
    command.arg(file).args(flags).after_help(after)
}

fn flag(key: &Key) -> Arg {
    let default = if key.default.is_empty() { "none" } else { key.default };
    Arg::new(key.name)
        .long(key.flag())
        .value_name("VALUE")
        .help(format!("{} [env: {}] [default: {default}]", key.help, key.name))
        .global(true)
        .help_heading("Settings")
}

/// Reads this process's settings from its flags, its environment and the file that they name.
///
/// # Errors
/// All problems together.
pub fn from_arguments(matches: &ArgMatches, required: &[&str]) -> Result<Config, Problems> {
    let mut flags = BTreeMap::new();
    for key in KEYS.iter().filter(|key| !key.secret) {
        if let Some(value) = matches.get_one::<String>(key.name) {
            flags.insert(key.name.to_owned(), value.clone());
        }
    }
    let environment = environment::variables();
    let path = matches.get_one::<String>(CONFIG_FILE).or(environment.get(CONFIG_FILE)).cloned();
    let file = match path {
        Some(path) => match settings_file(Path::new(&path)) {
            Ok(text) => Some(text),
            Err(problem) => {
                return Err(Problems(vec![format!("the configuration file {path} {problem}")]));
            }
        },
        None => None,
    };
    Config::read(&Sources { flags, environment, file }, required)
}

/// Reads a file of settings. Only if it holds a secret one must others not read it.
fn settings_file(path: &Path) -> Result<String, String> {
    let unfit = match private_file::read(path) {
        Ok(text) => return Ok(text),
        Err(unfit) => unfit,
    };
    let text = std::fs::read_to_string(path).map_err(|_| unfit.to_string())?;
    let table = text.parse::<toml::Table>().unwrap_or_default();
    match KEYS.iter().find(|key| key.secret && table.contains_key(&key.in_file())) {
        Some(key) => Err(format!("holds `{}` but {unfit}", key.in_file())),
        None => Ok(text),
    }
}

/// Reads the settings of a daemon. If they are invalid, prints the problems and exits with status 2.
pub fn read(name: &'static str, about: &'static str, required: &[&str]) -> Config {
    let command = command(Command::new(name).about(about).version(env!("CARGO_PKG_VERSION")));
    match from_arguments(&command.get_matches(), required) {
        Ok(config) => config,
        Err(problems) => exit(name, &problems),
    }
}

/// Prints the problems with a daemon's settings and exits with status 2. Call it before anything has
/// started.
pub fn exit(name: &str, problems: &Problems) -> ! {
    #[expect(clippy::print_stderr, reason = "it must be visible at any log level")]
    {
        eprintln!("{name}: {problems}");
    }
    std::process::exit(2)
}
