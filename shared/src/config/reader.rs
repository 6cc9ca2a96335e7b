//! Looks up settings in their sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::handlers::{self, HANDLER_PROTOCOL, HANDLER_SOCKET, HandlerCommand};
use super::{CONFIG_FILE, HANDLERS, KEYS, Key, Sources, values};
use crate::environment::{LAUNCHER, PROGRAM};
use crate::private_file;

/// Reads one setting after the other, and collects the problems.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    file: BTreeMap<String, String>,
    /// The file's value of the one setting that may have tables.
    handlers: Option<toml::Value>,
    pub problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Reader<'a> {
        let mut reader =
            Reader { sources, file: BTreeMap::new(), handlers: None, problems: Vec::new() };
        reader.read_file();
        reader.refuse_unknown();
        reader
    }

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
    pub(super) fn text(&mut self, key: &Key) -> Option<(String, String)> {
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

    pub(super) fn parse<T, E: std::fmt::Display>(
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

    pub(super) fn handlers(&mut self) -> Vec<HandlerCommand> {
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

    pub(super) fn duration(&mut self, key: &Key, seconds_min: u64, seconds_max: u64) -> Duration {
        self.parse(key, |text| values::duration_between(text, seconds_min, seconds_max))
            .unwrap_or_default()
    }

    /// A retention period; none: forever.
    pub(super) fn retention(&mut self, key: &Key) -> Option<Duration> {
        let retention = |text: &str| match text {
            "off" => Ok(None),
            text => values::duration_between(text, 3600, 36_500 * 86_400).map(Some),
        };
        self.parse(key, retention).flatten()
    }
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
