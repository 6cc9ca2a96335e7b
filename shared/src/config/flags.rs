//! The command line's share of the settings.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};

use super::{CONFIG_FILE, Config, KEYS, Key, Problems, Sources};

/// Adds a flag for each setting that is no secret, and tells in the help about those that are.
pub fn command(command: Command) -> Command {
    let flags = KEYS.iter().filter(|key| !key.secret).map(flag);
    let file = Arg::new(CONFIG_FILE)
        .long("config")
        .value_name("FILE")
        .help(format!("a TOML file with settings by their flags' names, job_timeout = \"30m\" [env: {CONFIG_FILE}]"))
        .global(true)
        .help_heading("Settings");
    let secrets: Vec<String> = KEYS
        .iter()
        .filter(|key| key.secret)
        .map(|key| format!("  {:<14} {}", key.name, key.help))
        .collect();
    let after = format!(
        "Settings that may hold a password come by the environment only, or from a file that \
         <NAME>_FILE names:\n{}\n\nA flag goes before the environment, the environment before the \
         file, the file before the default.",
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

/// Reads this process's settings: its flags, its environment, and the file they name.
///
/// # Errors
/// All problems at once.
pub fn from_arguments(matches: &ArgMatches, required: &[&str]) -> Result<Config, Problems> {
    let mut flags = BTreeMap::new();
    for key in KEYS.iter().filter(|key| !key.secret) {
        if let Some(value) = matches.get_one::<String>(key.name) {
            flags.insert(key.name.to_owned(), value.clone());
        }
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let path = matches.get_one::<String>(CONFIG_FILE).or(environment.get(CONFIG_FILE)).cloned();
    let file = match path {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                let problem = format!("the configuration file {path} cannot be read: {error}");
                return Err(Problems(vec![problem]));
            }
        },
        None => None,
    };
    Config::read(&Sources { flags, environment, file }, required)
}

/// What isn't a setting of Polychron but comes by the environment all the same: `NO_COLOR`, the
/// URL of a tenant that is being added. None when it is unset or empty.
pub fn environment(name: &str) -> Option<String> {
    let value = std::env::vars_os().find(|(key, _)| key == name)?.1;
    value.into_string().ok().filter(|value| !value.is_empty())
}

/// For a daemon's main: reads settings, or says what is wrong and ends the process with status 2,
/// before anything has started.
pub fn read(name: &'static str, about: &'static str, required: &[&str]) -> Config {
    let command = command(Command::new(name).about(about).version(env!("CARGO_PKG_VERSION")));
    match from_arguments(&command.get_matches(), required) {
        Ok(config) => config,
        Err(problems) => exit(name, &problems),
    }
}

/// Says what is wrong with the settings and ends the process with status 2. For a daemon's main,
/// before anything has started.
pub fn exit(name: &str, problems: &Problems) -> ! {
    #[expect(
        clippy::print_stderr,
        reason = "whoever starts the program must see it, whatever is logged"
    )]
    {
        eprintln!("{name}: {problems}");
    }
    std::process::exit(2)
}
