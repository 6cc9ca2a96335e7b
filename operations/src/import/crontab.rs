//! Translates a crontab: Vixie's format, which every Unix uses, with what other crons add to it.
//!
//! `columns` divides a line, `timing` translates its time, and `command` its command, with the
//! `settings` above it.

mod columns;
mod command;
mod settings;
mod timing;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::job::{MisfirePolicy, PAYLOAD_BYTES_MAX};
use shared::store::NewJob;

use super::{Budget, Entry, Import, Names, Text, job, name};
use columns::Kind;
use command::Command;
use settings::Settings;
use timing::Timing;

/// The longest name that is made from a comment, in characters.
const NAME_CHARS_MAX: usize = 60;

/// The kind of a crontab, which decides the columns of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What its lines look like.
    #[default]
    Recognised,
    /// A user's: times and a command.
    User,
    /// The system's, as in `/etc/crontab`: times, a user and a command.
    System,
}

impl Format {
    /// The format of a file at this path, if the path says so.
    pub fn of_path(path: &str) -> Format {
        match path == "/etc/crontab" || path.contains("/cron.d/") {
            true => Format::System,
            false => Format::Recognised,
        }
    }
}

/// The program that the crontab is for. They differ in settings, `%`, and the number of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cron {
    /// What is the same in most of them.
    #[default]
    Unknown,
    /// Red Hat, SUSE, Arch.
    Cronie,
    /// Vixie's, as in Debian and Ubuntu.
    Debian,
    /// FreeBSD and OpenBSD.
    Freebsd,
    /// NetBSD.
    Netbsd,
    /// The generator of systemd units.
    SystemdCron,
    /// Alpine, and small devices.
    Busybox,
    /// Containers.
    Supercronic,
}

/// Translates a crontab.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a> {
    /// Its columns.
    pub format: Format,
    /// The program that it is for.
    pub cron: Cron,
    /// The time zone of its machine; none: UTC.
    pub timezone: Option<&'a str>,
    /// The home directory of its user, where cron starts commands.
    pub home: Option<&'a str>,
}

impl Reader<'_> {
    /// Translates `text`.
    pub fn read(&self, text: &Text) -> Import {
        let lines: Vec<Line<'_>> = text.text.lines().map(Line::of).collect();
        let (kind, remark) = columns::kind(self.format, &lines);
        let mut reading = Reading {
            reader: self,
            kind,
            settings: Settings::new(self.cron, self.home),
            comment: None,
            names: Names::default(),
            programs: BTreeSet::new(),
            assumed_utc: false,
            budget: Budget::default(),
        };
        let mut entries = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            match line {
                Line::Comment(comment) => reading.comment = Some(comment),
                Line::Empty => reading.comment = None,
                Line::Setting(name, value) => {
                    reading.comment = None;
                    reading.settings.set(name, value);
                }
                Line::Entry(line) => {
                    let is_recoded = text.recoded.binary_search(&(index + 1)).is_ok();
                    entries.push(reading.entry(index + 1, line, is_recoded));
                }
            }
        }
        let mut remarks = text.remarks.clone();
        remarks.extend(remark);
        remarks.extend(reading.remarks());
        if entries.is_empty() {
            remarks.push(match text.is_blank() {
                true => "the file is empty: it has no entries".to_owned(),
                false => {
                    "the file has no entries: only comments, settings and empty lines".to_owned()
                }
            });
        }
        Import::new(entries, remarks)
    }
}

/// A line of the file.
enum Line<'a> {
    Empty,
    Comment(&'a str),
    Setting(&'a str, &'a str),
    Entry(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Line<'a> {
        let line = line.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
        match line.strip_prefix('#') {
            Some(comment) => Line::Comment(comment),
            None if line.is_empty() => Line::Empty,
            None => match settings::read(line) {
                Some((name, value)) => Line::Setting(name, value),
                None => Line::Entry(line),
            },
        }
    }
}

/// What has been read so far.
struct Reading<'a> {
    reader: &'a Reader<'a>,
    kind: Kind,
    /// The settings above the present line.
    settings: Settings<'a>,
    /// The comment that ends in the line before.
    comment: Option<&'a str>,
    names: Names,
    /// The programs that consumers must be allowed to start.
    programs: BTreeSet<String>,
    assumed_utc: bool,
    budget: Budget,
}

impl<'a> Reading<'a> {
    fn entry(&mut self, number: usize, text: &str, is_recoded: bool) -> Entry {
        let comment = self.comment.take().and_then(title);
        let mut notes = Vec::new();
        let job = self.job(text, comment, is_recoded, &mut notes);
        let (place, source) = (format!("line {number}"), text.to_owned());
        Entry { place, source, notes, is_named: false, job }
    }

    fn job(
        &mut self,
        text: &str,
        comment: Option<String>,
        is_recoded: bool,
        notes: &mut Vec<String>,
    ) -> Result<NewJob, String> {
        self.budget.take_entry()?;
        if is_recoded {
            return Err(
                "it is not UTF-8, and the command would get other bytes than from cron: convert the file, \
                 such as by `iconv -f latin1 -t utf-8`"
                    .to_owned(),
            );
        }
        let columns = columns::divide(text, self.kind, self.reader.cron, notes)?;
        let zone = self.zone(notes);
        let schedule = timing::schedule(&columns.timing, &zone, &self.settings, notes)?;
        let has_input = self.reader.cron.has_input() && !columns.timing.is_anacron();
        let command = Command::read(columns.command, has_input, self.reader.cron);
        let payload = self.payload(&command, columns.user, notes)?;
        let name = match (&columns.timing, comment) {
            (Timing::Anacron { id, .. }, _) => name::slug(id),
            (_, Some(comment)) => comment,
            (_, None) => name::of_command(&command.text),
        };
        let name = self.names.unique(if name.is_empty() { "command" } else { &name });
        let mut job = job(&name, "command", schedule);
        job.payload = payload;
        if let Some(persists) = self.settings.persists() {
            job.misfire_policy =
                if persists { MisfirePolicy::RunOnce } else { MisfirePolicy::Skip };
            notes.push(format!("PERSISTENT becomes misfire {}", job.misfire_policy));
        }
        if let Some(seconds) = self.settings.within() {
            (job.misfire_policy, job.misfire_grace_seconds) = (MisfirePolicy::Skip, seconds);
            notes.push(format!("CRON_WITHIN becomes misfire skip after {seconds} s"));
        }
        Ok(job)
    }

    /// The time zone that cron uses for this line.
    fn zone(&mut self, notes: &mut Vec<String>) -> String {
        let machine = self.reader.timezone;
        let (own, ignored) = self.settings.zone();
        if let Some(name) = ignored {
            notes.push(format!(
                "{name} is handed to the command only, as by {}; the schedule follows the machine's zone, \
                 which --timezone says",
                self.reader.cron.described()
            ));
        }
        if let Some(zone) = own {
            if self.reader.cron == Cron::Unknown && machine.is_some_and(|machine| machine != zone) {
                notes.push(
                    "CRON_TZ is followed, as by cronie; Debian's cron ignores it (--cron debian)"
                        .to_owned(),
                );
            }
            return zone.to_owned();
        }
        self.assumed_utc |= machine.is_none();
        machine.unwrap_or("UTC").to_owned()
    }

    /// The payload with which a consumer runs a command as cron does.
    fn payload(
        &mut self,
        command: &Command,
        user: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Value, String> {
        let bytes = self.settings.bytes()
            + command.text.len()
            + command.input.as_ref().map_or(0, String::len);
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(format!(
                "its command and the settings above it have {bytes} bytes, more than the {PAYLOAD_BYTES_MAX} of a \
                 payload: move them to a script"
            ));
        }
        self.budget.take_payload(bytes)?;
        let argv = command.argv(&self.settings, user, notes)?;
        self.programs.extend(argv.first().cloned());
        Ok(match &command.input {
            Some(input) => {
                notes.push("what follows `%` becomes its input".to_owned());
                json!({ "argv": argv, "input": input })
            }
            None => json!({ "argv": argv }),
        })
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
            "a command starts in / with an environment of its own, unless HOME or --home says where"
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
        remarks.extend(self.settings.remarks());
        remarks
    }
}

impl Cron {
    /// Whether `%` in a command is special.
    fn has_input(self) -> bool {
        !matches!(self, Cron::Busybox | Cron::Supercronic | Cron::SystemdCron)
    }

    fn described(self) -> &'static str {
        match self {
            Cron::Unknown => "every cron but systemd-cron",
            Cron::Cronie => "cronie",
            Cron::Debian => "Debian's cron",
            Cron::Freebsd => "FreeBSD's and OpenBSD's cron",
            Cron::Netbsd => "NetBSD's cron",
            Cron::SystemdCron => "systemd-cron",
            Cron::Busybox => "busybox",
            Cron::Supercronic => "supercronic",
        }
    }
}

/// A comment as a name, if it reads like one: a heading over the fields doesn't, nor does a line
/// that was commented out.
fn title(comment: &str) -> Option<String> {
    let first = comment.split_whitespace().next()?;
    let is_word = first.chars().filter(|char| char.is_alphabetic()).count() > 1
        && !first.contains(['=', '/', '*', '@'])
        && !columns::is_field(first);
    let name = name::slug(comment);
    (is_word && name.chars().count() <= NAME_CHARS_MAX).then_some(name)
}

#[cfg(test)]
mod tests;
