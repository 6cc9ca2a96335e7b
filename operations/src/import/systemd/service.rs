//! What a service runs, as a command.

use std::collections::BTreeMap;

use shared::job::PAYLOAD_BYTES_MAX;

use super::duration;
use super::units::Unit;

/// Settings of a service that are translated, or make no difference to a job.
const KNOWN: [&str; 13] = [
    "Type",
    "ExecStart",
    "Environment",
    "WorkingDirectory",
    "User",
    "Group",
    "TimeoutStartSec",
    "TimeoutSec",
    "RuntimeMaxSec",
    "StandardOutput",
    "StandardError",
    "SyslogIdentifier",
    "RemainAfterExit",
];
const SERVICE: &str = "Service";
/// The longest timeout that a job may have, in seconds.
const TIMEOUT_MAX: f64 = 2_592_000.0;

/// Variables by name.
type Environment = BTreeMap<String, String>;

/// The program and its arguments.
/// `name` is that of the started unit, which for a template contains the instance.
pub(super) fn argv(
    service: &Unit,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let commands = service.all(SERVICE, "ExecStart");
    let environment = environment(service, name)?;
    let mut argvs = Vec::new();
    for command in &commands {
        argvs.push(one(command, &environment, name, notes)?);
    }
    let mut argv: Vec<String> = Vec::new();
    if !environment.is_empty() {
        notes.push(
            "/usr/bin/env sets Environment, which whoever lists processes can see".to_owned(),
        );
        argv.push("/usr/bin/env".to_owned());
        argv.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
    }
    let folder =
        service.last(SERVICE, "WorkingDirectory").map(|folder| folder.trim_start_matches('-'));
    match (argvs.len(), folder) {
        (0, _) => return Err(format!("{} has no ExecStart", service.name)),
        (1, None) => argv.extend(argvs.swap_remove(0)),
        (_, Some(folder)) if !folder.starts_with('/') => {
            return Err(format!(
                "WorkingDirectory={folder} is its user's home: write the path itself"
            ));
        }
        (_, folder) => {
            let commands: Vec<String> = argvs.iter().map(|argv| quoted(argv)).collect();
            let start = folder.map(|folder| format!("cd {} && ", quoted(&[folder.to_owned()])));
            let command = start.unwrap_or_default() + &commands.join(" && ");
            notes
                .push("it goes through /bin/sh, for its folder or its several commands".to_owned());
            argv.extend(["/bin/sh".to_owned(), "-c".to_owned(), command]);
        }
    }
    note_others(service, notes);
    Ok(argv)
}

/// The timeout of a run, in seconds.
pub(super) fn timeout(service: &Unit) -> Option<i32> {
    let names = ["RuntimeMaxSec", "TimeoutStartSec", "TimeoutSec"];
    let text = names.iter().find_map(|name| service.last(SERVICE, name))?;
    let seconds = duration(text).filter(|seconds| (1.0..=TIMEOUT_MAX).contains(seconds))?;
    Some(seconds as i32)
}

fn note_others(service: &Unit, notes: &mut Vec<String>) {
    if let Some(user) = service.last(SERVICE, "User") {
        notes.push(format!("systemd ran it as {user}, a consumer runs it as its own user"));
    }
    let left: Vec<&str> = service.names(SERVICE).filter(|name| !KNOWN.contains(name)).collect();
    if !left.is_empty() {
        notes.push(format!("left out of {}: {}", service.name, left.join(", ")));
    }
    let conditions = service.names("Unit").filter(|name| {
        ["Condition", "Assert", "Requires", "BindsTo", "OnFailure"]
            .iter()
            .any(|start| name.starts_with(start))
    });
    let conditions: Vec<&str> = conditions.collect();
    if !conditions.is_empty() {
        notes.push(format!("left out of {}: {}", service.name, conditions.join(", ")));
    }
}

fn environment(service: &Unit, unit: &str) -> Result<Environment, String> {
    let mut variables = BTreeMap::new();
    for line in service.all(SERVICE, "Environment") {
        for word in words(line)? {
            let word = specified(&word, unit)?;
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("Environment={line} is not like NAME=value"))?;
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(variables)
}

/// One command line.
fn one(
    command: &str,
    environment: &Environment,
    unit: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let prefix = command.len() - command.trim_start_matches(['-', '@', '+', '!', ':', '|']).len();
    let (flags, command) = command.split_at(prefix);
    if flags.contains('@') {
        return Err(format!(
            "ExecStart={flags}{command} gives the program another name, which has no counterpart"
        ));
    }
    if flags.contains('-') {
        notes.push("systemd ignored a failure of it (`-`), and it is recorded here".to_owned());
    }
    if flags.contains(['+', '!']) {
        notes.push("systemd gave it more rights than its user has (`+`, `!`)".to_owned());
    }
    let mut argv: Vec<String> = Vec::new();
    let mut bytes = 0;
    for word in words(command)? {
        let word = specified(&word, unit)?;
        let is_plain = flags.contains(':') || argv.is_empty();
        let words = match expanded(&word, environment, is_plain)? {
            Expanded::Word(word) => vec![word],
            Expanded::Words(words) => words,
        };
        bytes += words.iter().map(String::len).sum::<usize>();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(too_long());
        }
        argv.extend(words);
    }
    match argv.first() {
        Some(program) if program.starts_with('/') => Ok(argv),
        Some(program) => Err(format!(
            "its program `{program}` has no path, where systemd looks for it: write the path"
        )),
        None => Err("its ExecStart is empty".to_owned()),
    }
}

enum Expanded {
    Word(String),
    Words(Vec<String>),
}

/// A word with the values of its variables. `$NAME` as a whole word becomes several words.
fn expanded(word: &str, environment: &Environment, is_plain: bool) -> Result<Expanded, String> {
    let value = |name: &str| {
        let found = environment.get(name).map(String::as_str);
        found.ok_or_else(|| {
            format!("its command uses ${name}, which Environment doesn't set: write its value")
        })
    };
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    if is_plain || !word.contains('$') {
        return Ok(Expanded::Word(word.to_owned()));
    }
    if let Some(name) = word.strip_prefix('$')
        && !name.is_empty()
        && name.chars().all(is_name)
    {
        return Ok(Expanded::Words(value(name)?.split_whitespace().map(str::to_owned).collect()));
    }
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text += before;
        if let Some(after) = after.strip_prefix('$') {
            (text, rest) = (text + "$", after);
        } else if let Some((name, after)) =
            after.strip_prefix('{').and_then(|after| after.split_once('}'))
        {
            (text, rest) = (text + value(name)?, after);
        } else {
            let end = after.find(|char| !is_name(char)).unwrap_or(after.len());
            if end == 0 {
                text += "$";
            } else {
                text += value(&after[..end])?;
            }
            rest = &after[end..];
        }
        if text.len() > PAYLOAD_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(Expanded::Word(text + rest))
}

/// A word with its specifiers replaced, such as `%i`.
fn specified(word: &str, unit: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut chars = word.chars();
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    while let Some(char) = chars.next() {
        if char != '%' {
            text.push(char);
            continue;
        }
        if text.len() > PAYLOAD_BYTES_MAX {
            return Err(too_long());
        }
        match chars.next() {
            Some('%') => text.push('%'),
            Some('n') => text += unit,
            Some('N') => text += stem,
            Some('p' | 'P') => text += prefix,
            Some('i' | 'I') if !instance.is_empty() => text += instance,
            other => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!(
                    "its specifier %{other} depends on the machine or the instance: write its value"
                ));
            }
        }
    }
    Ok(text)
}

fn too_long() -> String {
    format!("its variables make its command longer than {PAYLOAD_BYTES_MAX} bytes")
}

/// Splits a line into words, with systemd's quotes and escapes.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                let escaped = chars.next().ok_or("its command ends in a backslash")?;
                word.get_or_insert_default().push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    's' => ' ',
                    '\\' | '"' | '\'' | '$' | ';' => escaped,
                    other => return Err(format!("its escape \\{other} is not understood")),
                });
            }
            '\'' | '"' if quote == Some(char) => quote = None,
            '\'' | '"' if quote.is_none() => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            char if char.is_whitespace() && quote.is_none() => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    if quote.is_some() {
        return Err("its command has a quote that is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// Words as a shell reads them.
fn quoted(words: &[String]) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./:,@+=%".contains(char);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
