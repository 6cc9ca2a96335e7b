//! The columns of a crontab's lines, which differ between its kinds.

use std::iter::Peekable;
use std::str::SplitWhitespace;

use shared::schedule::readings;

use super::timing::Timing;
use super::{Cron, Format, Line};
use crate::format::counted;

/// Users that own lines of system crontabs. None of these names is a program's.
const USERS: [&str; 26] = [
    "root",
    "www-data",
    "ubuntu",
    "nobody",
    "debian",
    "ec2-user",
    "vagrant",
    "centos",
    "www",
    "_www",
    "mongodb",
    "rabbitmq",
    "daemon",
    "uucp",
    "nagios",
    "zabbix",
    "gitlab",
    "webapp",
    "appuser",
    "postgres",
    "tomcat",
    "elasticsearch",
    "smmsp",
    "amavis",
    "debian-spamd",
    "rocky",
];
/// Programs that are first in many commands, and no user's name.
const PROGRAMS: [&str; 84] = [
    "bash",
    "sh",
    "zsh",
    "dash",
    "cd",
    "php",
    "python",
    "python2",
    "python3",
    "perl",
    "ruby",
    "node",
    "env",
    "test",
    "[",
    "[[",
    "curl",
    "wget",
    "nice",
    "ionice",
    "flock",
    "lockf",
    "timeout",
    "sudo",
    "su",
    "doas",
    "nohup",
    "time",
    "exec",
    "echo",
    "printf",
    "date",
    "touch",
    "rm",
    "cp",
    "mv",
    "ln",
    "ls",
    "cat",
    "find",
    "tar",
    "gzip",
    "rsync",
    "scp",
    "ssh",
    "sleep",
    "kill",
    "killall",
    "pkill",
    "pgrep",
    "ps",
    "df",
    "du",
    "mkdir",
    "chown",
    "chmod",
    "tee",
    "sed",
    "awk",
    "grep",
    "head",
    "tail",
    "if",
    "for",
    "while",
    "export",
    "source",
    ".",
    "true",
    "false",
    "run-parts",
    "docker",
    "docker-compose",
    "podman",
    "systemctl",
    "service",
    "certbot",
    "psql",
    "pg_dump",
    "mysqldump",
    "npm",
    "composer",
    "bundle",
    "java",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Which columns the lines of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    System,
    /// Either, which nothing in the file decides.
    Ambiguous,
}

/// A line, divided into its columns.
pub(super) struct Columns<'a> {
    pub(super) timing: Timing<'a>,
    pub(super) user: Option<&'a str>,
    pub(super) command: &'a str,
}

/// Which columns a file's lines have, and a remark if that was recognised.
pub(super) fn kind(format: Format, lines: &[Line<'_>]) -> (Kind, Option<String>) {
    match format {
        Format::User => return (Kind::User, None),
        Format::System => return (Kind::System, None),
        Format::Recognised => {}
    }
    let mut users: Vec<&str> = Vec::new();
    let (mut has_program, mut has_doubt, mut has_heading) = (false, false, false);
    for line in lines {
        match line {
            Line::Comment(comment) => {
                let mut words = comment.split_whitespace();
                let heads = |word: &str| ["user", "user-name", "username", "who"].contains(&word);
                has_heading |= words.any(|word| heads(&word.to_ascii_lowercase()))
                    && words.next().is_some_and(|word| word.eq_ignore_ascii_case("command"));
            }
            Line::Entry(text) => {
                let Some((first, second)) = after_time(text) else { continue };
                if is_program(first) {
                    has_program = true;
                } else if USERS.contains(&first) {
                    users.push(first);
                } else {
                    has_doubt |= second.is_some_and(is_program);
                }
            }
            Line::Empty | Line::Setting(..) => {}
        }
    }
    let is_system = !has_program && (has_heading || !users.is_empty());
    match (is_system, has_program, has_doubt) {
        (true, ..) => {
            users.sort_unstable();
            users.dedup();
            let remark = match users[..] {
                [] => "a comment names the columns".to_owned(),
                _ => format!("its lines have a user ({})", users.join(", ")),
            };
            (
                Kind::System,
                Some(format!("read as a system crontab, since {remark}; --user says otherwise")),
            )
        }
        (false, false, true) => (Kind::Ambiguous, None),
        _ => (Kind::User, None),
    }
}

/// The two words after a line's time.
fn after_time(text: &str) -> Option<(&str, Option<&str>)> {
    let mut words = text.split_whitespace();
    let fields = if text.trim_start_matches('-').starts_with('@') { 1 } else { 5 };
    for _ in 0..fields {
        words.next()?;
    }
    let first = words.next()?;
    Some((first, words.next()))
}

fn is_program(word: &str) -> bool {
    let is_user = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
    PROGRAMS.contains(&word) || !word.chars().all(is_user) || word.starts_with(['-', '.'])
}

/// Whether a word looks like a field of cron, and like no command.
pub(super) fn is_field(word: &str) -> bool {
    let parts = word.split([',', '-', '/', '~', '#']);
    let is_name = |part: &str| {
        let part = part.to_ascii_lowercase();
        WEEKDAYS.contains(&part.as_str()) || MONTHS.contains(&part.as_str())
    };
    let is_number = |part: &str| {
        !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let last = |part: &str| part.strip_suffix(['L', 'W']).is_some_and(is_number);
    let is_part = |part: &str| {
        is_number(part) || is_name(part) || last(part) || matches!(part, "*" | "?" | "L")
    };
    let is_bare_name = word.bytes().all(|byte| byte.is_ascii_lowercase()) || word == "L";
    parts.into_iter().all(is_part) && !is_bare_name
}

/// Divides a line.
pub(super) fn divide<'a>(
    text: &'a str,
    kind: Kind,
    cron: Cron,
    notes: &mut Vec<String>,
) -> Result<Columns<'a>, String> {
    let text = unlogged(text, notes);
    let mut words = text.split_whitespace().peekable();
    if let Some(timing) = anacron(text) {
        words.nth(2);
        let command = rest(text, &mut words);
        return Ok(Columns { timing, user: None, command });
    }
    let (timing, fields) = timing(&mut words, cron, text)?;
    let user = if kind == Kind::System { words.next() } else { None };
    if let Some(reason) = user.and_then(|user| no_user(text, user)) {
        return Err(reason);
    }
    flags(&mut words, notes)?;
    let command = rest(text, &mut words);
    if command.is_empty() {
        let columns = if kind == Kind::System { "a user and a command" } else { "a command" };
        return Err(format!("it isn't {fields} of time, then {columns}"));
    }
    if let Some(reason) = misread(text, kind, command) {
        return Err(reason);
    }
    if let Some(user) = user {
        notes.push(format!("cron ran it as {user}, a consumer runs it as its own user"));
    }
    Ok(Columns { timing, user, command })
}

/// The line without the `-` that keeps it out of the log of cronie and SUSE's cron.
fn unlogged<'a>(text: &'a str, notes: &mut Vec<String>) -> &'a str {
    match text.strip_prefix('-') {
        Some(rest)
            if rest.starts_with(|char: char| char.is_ascii_digit() || "*@".contains(char)) =>
        {
            notes.push("the `-` in front only kept it out of cron's log".to_owned());
            rest
        }
        _ => text,
    }
}

/// The time of a line of an anacrontab: a period, a delay and an identifier.
fn anacron(text: &str) -> Option<Timing<'_>> {
    let mut words = text.split_whitespace();
    let (period, delay, id) = (words.next()?, words.next()?, words.next()?);
    words.next()?;
    let is_period = period.starts_with('@') || period.bytes().all(|byte| byte.is_ascii_digit());
    let delay = delay.parse().ok().filter(|delay| *delay <= 24 * 60)?;
    let is_id = id.starts_with(|char: char| char.is_ascii_alphabetic())
        && !id.split([',', '-']).all(|part| is_field(part) || is_field(&part.to_uppercase()));
    (is_period && is_id).then_some(Timing::Anacron { period, delay, id })
}

fn timing<'a>(
    words: &mut Peekable<SplitWhitespace<'a>>,
    cron: Cron,
    text: &str,
) -> Result<(Timing<'a>, String), String> {
    let first = words.peek().copied().unwrap_or_default();
    if let Some(name) = first.strip_prefix('@') {
        words.next();
        let timing = match name {
            "every" => Timing::Every(words.next().unwrap_or_default().to_owned()),
            // FreeBSD counts from the end of the last run, which nothing else does.
            number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Timing::Every(format!("{number}s"))
            }
            _ => Timing::Cron { expression: first.to_owned(), years: None },
        };
        return Ok((timing, "1 field".to_owned()));
    }
    let mut fields: Vec<&str> = words.by_ref().take(5).collect();
    let mut more = 0;
    if cron == Cron::Supercronic {
        while more < 2 && words.peek().is_some_and(|word| is_field(word)) {
            fields.extend(words.next());
            more += 1;
        }
    } else if words.peek().is_some_and(|word| is_field(word)) {
        let further = words.take_while(|word| is_field(word)).take(2);
        return Err(too_many_fields(fields.into_iter().chain(further)));
    }
    // Supercronic has years last, and seconds first if there are seven.
    let years = if more > 0 { fields.pop() } else { None };
    if cron == Cron::Supercronic {
        fields.iter_mut().filter(|field| **field == "?").for_each(|field| *field = "*");
    }
    if fields.len() < 5 {
        let words = counted(text.split_whitespace().count(), "word");
        return Err(format!("it has {words}, which is not 5 fields of time, then a command"));
    }
    Ok((Timing::Cron { expression: fields.join(" "), years }, "5 fields".to_owned()))
}

fn too_many_fields<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let fields: Vec<&str> = fields.collect();
    let meanings = readings(&fields.join(" "));
    let meanings: Vec<String> = meanings
        .iter()
        .map(|reading| format!("{} for {}", reading.written(), reading.language))
        .collect();
    let may_be = match meanings.is_empty() {
        true => String::new(),
        false => format!(" (`{}`)", meanings.join("`, `")),
    };
    format!(
        "its command would begin with a field: it seems to have six or seven fields of time, of which cron knows five; \
         say --cron supercronic if it is for that, or write it as a job by hand{may_be}"
    )
}

/// Skips flags of BSD's crons.
fn flags(words: &mut Peekable<SplitWhitespace<'_>>, notes: &mut Vec<String>) -> Result<(), String> {
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        let flags = &word[1..];
        if flags.is_empty() || !flags.bytes().all(|flag| b"nqs".contains(&flag)) {
            return Err(format!(
                "its command would begin with `{word}`, which is not a flag of BSD's cron; remove it"
            ));
        }
        for flag in flags.chars() {
            notes.push(match flag {
                'n' => "-n only decides what is mailed, and nothing is".to_owned(),
                'q' => "-q only keeps it out of cron's log".to_owned(),
                _ => "-s: it does not overlap itself, which is overlap skip".to_owned(),
            });
        }
    }
    Ok(())
}

/// Why the word in the place of the user is none, if it isn't.
fn no_user(text: &str, user: &str) -> Option<String> {
    if is_field(user) {
        let fields = text.split_whitespace().take_while(|word| is_field(word));
        return Some(too_many_fields(fields.take(7)));
    }
    let is_number = user.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || is_program(user)).then(|| {
        format!("`{user}` is not a user, as in a system crontab: leave --system out, or say --user")
    })
}

/// Why the columns would be misread, if they would: a job that runs the wrong command every minute is
/// worse than none.
fn misread(text: &str, kind: Kind, command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let first = words.next().unwrap_or_default();
    if text.starts_with('@') && first.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(
            "it is like a line of an anacrontab, but without an identifier and a command"
                .to_owned(),
        );
    }
    let is_path = |word: &str| word.starts_with('/') || PROGRAMS.contains(&word);
    match kind {
        Kind::User if USERS.contains(&first) && words.next().is_some() => Some(format!(
            "its command would be `{first}`, a user's name, as in a system crontab: say --system"
        )),
        Kind::Ambiguous if !is_program(first) && words.next().is_some_and(is_path) => {
            Some(format!(
                "`{first}` is the user if this is a system crontab, and the program otherwise: say --system or --user"
            ))
        }
        _ => None,
    }
}

/// The rest of `text`, from its next word on.
fn rest<'a>(text: &'a str, words: &mut Peekable<SplitWhitespace<'a>>) -> &'a str {
    words.peek().map_or("", |word| &text[word.as_ptr().addr() - text.as_ptr().addr()..])
}
