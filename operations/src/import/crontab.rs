//! Translates a crontab: Vixie's format, which every Unix uses, with what cronie adds to it.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::SplitWhitespace;

use serde_json::{Value, json};

use super::{Entry, Import, Names, cron, job};

/// The longest name that is made from a comment, in characters.
const NAME_CHARS_MAX: usize = 60;
/// The punctuation of commands that can run without a shell.
const PLAIN: &str = "_-./:,@+=";
/// Programs that only prepare the line's main program.
const PREPARATIONS: [&str; 3] = ["cd", "test", "["];
/// Settings of cron itself, which it does not pass to commands.
const OF_CRON: [&str; 6] =
    ["SHELL", "MAILTO", "MAILFROM", "CRON_TZ", "RANDOM_DELAY", "START_HOURS_RANGE"];
/// Users that own lines of system crontabs. None of these names is a program's.
const USERS: [&str; 8] =
    ["root", "www-data", "ubuntu", "nobody", "debian", "ec2-user", "vagrant", "centos"];
/// Programs that are first in many commands, and no user's name.
const PROGRAMS: [&str; 16] = [
    "bash", "sh", "zsh", "cd", "php", "python", "python3", "perl", "ruby", "node", "env", "test",
    "curl", "wget", "nice", "flock",
];

/// The kind of a crontab, which decides the columns of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A user's: times and a command.
    #[default]
    User,
    /// The system's, as in `/etc/crontab`: times, a user and a command.
    System,
}

/// Translates `text`. `timezone` is that of its machine; none: UTC.
pub fn read(text: &str, format: Format, timezone: Option<&str>) -> Import {
    let mut reader = Reader { format, timezone, ..Reader::default() };
    let mut entries = Vec::new();
    // Editors on Windows write a byte-order mark.
    let text = text.trim_start_matches('\u{feff}');
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            reader.comment = Some(comment);
        } else if let Some((name, value)) = setting(line) {
            reader.set(name, value);
        } else if !line.is_empty() {
            entries.push(reader.entry(index + 1, line));
        } else {
            reader.comment = None;
        }
    }
    let mut remarks = reader.remarks();
    if entries.is_empty() {
        remarks.push("the file has no entries: only comments, settings and empty lines".to_owned());
    }
    Import::new(entries, remarks)
}

/// What has been read so far.
#[derive(Default)]
struct Reader<'a> {
    format: Format,
    timezone: Option<&'a str>,
    /// The settings above the present line.
    settings: Vec<(&'a str, &'a str)>,
    /// The comment that ends in the line before.
    comment: Option<&'a str>,
    names: Names,
    /// The programs that consumers must be allowed to start.
    programs: BTreeSet<String>,
    assumed_utc: bool,
}

/// A line, divided into its columns.
struct Line<'a> {
    timing: String,
    user: Option<&'a str>,
    command: &'a str,
}

impl<'a> Reader<'a> {
    fn set(&mut self, name: &'a str, value: &'a str) {
        self.comment = None;
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value));
    }

    fn setting(&self, name: &str) -> Option<&'a str> {
        let found = self.settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    fn entry(&mut self, number: usize, text: &str) -> Entry {
        let comment = self.comment.take().and_then(title);
        let mut notes = Vec::new();
        let job = divide(text, self.format).map(|line| {
            let name = comment.unwrap_or_else(|| slug(program(line.command)));
            let name = self.names.unique(if name.is_empty() { "command" } else { &name });
            let expression = spread(&line.timing, &mut notes);
            let schedule = cron(&expression, self.zone(&mut notes));
            if let Some(user) = line.user {
                notes.push(format!("cron ran it as {user}, a consumer runs it as its own user"));
            }
            let mut job = job(&name, "command", schedule);
            job.payload = self.payload(line.command, &mut notes);
            job
        });
        Entry { place: format!("line {number}"), source: text.to_owned(), notes, job }
    }

    /// The time zone that cron uses for this line.
    fn zone(&mut self, notes: &mut Vec<String>) -> &'a str {
        if let Some(zone) = self.setting("CRON_TZ") {
            if self.timezone.is_some_and(|machines| machines != zone) {
                notes.push(
                    "CRON_TZ is followed, as by cronie; Debian's cron ignores it: remove it if \
                     the file comes from there"
                        .to_owned(),
                );
            }
            return zone;
        }
        if self.setting("TZ").is_some() {
            notes.push(
                "TZ is handed to the command only, as in every cron; the schedule follows the \
                 machine's zone, which --timezone says"
                    .to_owned(),
            );
        }
        if let Some(zone) = self.timezone {
            return zone;
        }
        self.assumed_utc = true;
        "UTC"
    }

    /// The payload with which a consumer runs `command` as cron does.
    fn payload(&mut self, command: &str, notes: &mut Vec<String>) -> Value {
        let (command, input) = divide_input(command);
        let mut argv = self.environment();
        if let Some((name, _)) = argv.get(1).and_then(|first| first.split_once('=')) {
            notes.push(format!(
                "/usr/bin/env sets {name}{}, which whoever lists processes can see",
                if argv.len() > 2 { " and what else the file sets" } else { "" }
            ));
        }
        match needs_shell(&command) {
            Some(reason) => {
                let shell = self.setting("SHELL").unwrap_or("/bin/sh");
                notes.push(format!("it goes through {shell}, {reason}"));
                argv.extend([shell.to_owned(), "-c".to_owned(), command]);
            }
            None => argv.extend(command.split_whitespace().map(str::to_owned)),
        }
        self.programs.extend(argv.first().cloned());
        match input {
            Some(input) => {
                notes.push("what follows `%` becomes its input".to_owned());
                json!({ "argv": argv, "input": input })
            }
            None => json!({ "argv": argv }),
        }
    }

    /// `/usr/bin/env` with the settings that cron passes to commands; nothing if there are none.
    fn environment(&self) -> Vec<String> {
        let handed_on = self.settings.iter().filter(|(name, _)| !OF_CRON.contains(name));
        let mut argv: Vec<String> =
            handed_on.map(|(name, value)| format!("{name}={value}")).collect();
        if !argv.is_empty() {
            argv.insert(0, "/usr/bin/env".to_owned());
        }
        argv
    }

    fn remarks(&self) -> Vec<String> {
        if self.programs.is_empty() {
            return Vec::new();
        }
        let programs: Vec<&str> = self.programs.iter().map(String::as_str).collect();
        let mut remarks = vec![
            format!(
                "the jobs are of the type `command`, and consumers must be allowed to start {} \
                 (POLYCHRON_COMMANDS): a shell or env there lets whoever adds a job start anything",
                programs.join(", ")
            ),
            "a command starts in / with an environment of its own, not in its user's home"
                .to_owned(),
            "cron starts a command while its last run goes on, and drops what it missed; \
             these jobs skip such a start and make up for what was missed once, until \
             `polychron job edit` says otherwise (--overlap allow, --misfire skip)"
                .to_owned(),
        ];
        if self.assumed_utc {
            remarks.push(
                "the file names no time zone, and cron follows its machine's: UTC is assumed; \
                 say --timezone if it is another"
                    .to_owned(),
            );
        }
        if self.setting("MAILTO").is_some() {
            remarks
                .push("MAILTO: nothing is mailed; output is kept with each execution".to_owned());
        }
        if self.setting("RANDOM_DELAY").is_some() {
            remarks.push("RANDOM_DELAY is left out; `jitter` in a schedule is alike".to_owned());
        }
        if self.setting("START_HOURS_RANGE").is_some() {
            remarks.push("START_HOURS_RANGE is anacron's and is left out".to_owned());
        }
        remarks
    }
}

/// `NAME = value`, either of them in quotes or not.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = unquoted(name.trim());
    let is_name = !name.is_empty()
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        && !name.starts_with(|char: char| char.is_ascii_digit());
    is_name.then(|| (name, unquoted(value.trim())))
}

fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// Divides a line into its time, its user and its command.
fn divide(text: &str, format: Format) -> Result<Line<'_>, String> {
    let fields = if text.starts_with('@') { 1 } else { 5 };
    let mut words = text.split_whitespace().peekable();
    let timing: Vec<&str> = words.by_ref().take(fields).collect();
    let user = match format {
        Format::System => words.next(),
        Format::User => None,
    };
    let command = rest(text, &mut words);
    if command.is_empty() {
        let columns = match format {
            Format::System => "a user and a command",
            Format::User => "a command",
        };
        return Err(format!("it isn't {fields} fields of time, then {columns}"));
    }
    if let Some(reason) = misread(fields, user, command) {
        return Err(reason);
    }
    Ok(Line { timing: timing.join(" "), user, command })
}

/// Why the columns would be misread, if they would: a job that runs the wrong command every minute is
/// worse than none.
fn misread(fields: usize, user: Option<&str>, command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let first = words.next().unwrap_or_default();
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if first.starts_with('*') {
        let reason =
            "its command would begin with `*`: it seems to have six or seven fields of time";
        return Some(format!("{reason}, of which cron knows five; write it as a job by hand"));
    }
    if let Some(user) = user {
        let is_name = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
        if PROGRAMS.contains(&user) || !user.chars().all(is_name) || number(user) {
            return Some(format!(
                "`{user}` is no user, as it is in a system crontab: leave --system out"
            ));
        }
    } else if USERS.contains(&first) {
        return Some(format!(
            "its command would be `{first}`, a user's name, as in a system crontab: say --system"
        ));
    }
    if first.starts_with('-') {
        return Some(format!(
            "its command would begin with the flag `{first}` of BSD's cron; remove it"
        ));
    }
    if number(first) && (fields == 1 || words.next().is_some_and(|second| second.contains('.'))) {
        return Some(
            "it is a line of an anacrontab, which has a delay and an identifier".to_owned(),
        );
    }
    None
}

/// The rest of `text`, from its next word on.
fn rest<'a>(text: &'a str, words: &mut Peekable<SplitWhitespace<'a>>) -> &'a str {
    words.peek().map_or("", |word| &text[word.as_ptr().addr() - text.as_ptr().addr()..])
}

/// cronie's random values, `0~30`, as ours: `H(0-30)`.
fn spread(timing: &str, notes: &mut Vec<String>) -> String {
    if !timing.contains('~') {
        return timing.to_owned();
    }
    notes.push("`~`, a value that cron draws at random, becomes `H`, one that stays".to_owned());
    let item = |item: &str| match item.split_once('~') {
        Some(("", "")) => "H".to_owned(),
        Some((first, last)) => format!("H({first}-{last})"),
        None => item.to_owned(),
    };
    let field = |field: &str| field.split(',').map(item).collect::<Vec<_>>().join(",");
    timing.split(' ').map(field).collect::<Vec<_>>().join(" ")
}

/// A command, and what cron writes to its standard input: the first `%` divides them, the others
/// are ends of lines, as is the end, and `\%` is a plain one.
fn divide_input(command: &str) -> (String, Option<String>) {
    let mut parts = vec![String::new()];
    let mut chars = command.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if chars.next_if_eq(&'%').is_some() => push(&mut parts, '%'),
            '%' => parts.push(String::new()),
            char => push(&mut parts, char),
        }
    }
    let input = (parts.len() > 1).then(|| parts[1..].join("\n") + "\n");
    (parts.swap_remove(0), input)
}

fn push(parts: &mut [String], char: char) {
    if let Some(last) = parts.last_mut() {
        last.push(char);
    }
}

/// Why a command needs a shell, if it does.
fn needs_shell(command: &str) -> Option<String> {
    let program = command.split_whitespace().next().unwrap_or_default();
    let special = |char: &char| !char.is_alphanumeric() && !PLAIN.contains(*char) && *char != ' ';
    if let Some(char) = command.chars().find(special) {
        return Some(format!("since it has `{}`", char.escape_debug()));
    }
    if program.contains('=') {
        return Some("since it sets a variable".to_owned());
    }
    (!program.starts_with('/')).then(|| format!("which must look for `{program}`"))
}

/// A command's main program, without its folder.
fn program(command: &str) -> &str {
    let parts = command.split(['&', '|', ';', '(', ')', '{', '}', '%']);
    let programs = parts.filter_map(|part| {
        let mut words = part.split_whitespace();
        words.find(|word| !word.contains('=') && *word != "!")
    });
    let mut programs = programs.map(|program| program.rsplit('/').next().unwrap_or(program));
    let first = programs.clone().next().unwrap_or_default();
    programs.find(|program| !PREPARATIONS.contains(program)).unwrap_or(first)
}

/// A comment as a name, if it reads like one: a heading over the fields doesn't, nor does a line
/// that was commented out.
fn title(comment: &str) -> Option<String> {
    let first = comment.split_whitespace().next()?;
    let is_word = first.chars().filter(|char| char.is_alphabetic()).count() > 1
        && !first.contains(['=', '/', '*']);
    let name = slug(comment);
    (is_word && name.chars().count() <= NAME_CHARS_MAX).then_some(name)
}

/// Lower case, with `-` between words.
fn slug(text: &str) -> String {
    let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests;
