//! A crontab's settings: `NAME = value` lines, which hold for the lines below them.

use std::collections::{BTreeMap, BTreeSet};

use super::Cron;

/// Settings of cron itself, which it does not pass to commands.
const OF_CRON: [&str; 10] = [
    "SHELL",
    "MAILTO",
    "MAILFROM",
    "CONTENT_TYPE",
    "CONTENT_TRANSFER_ENCODING",
    "CRON_TZ",
    "CRON_WITHIN",
    "RANDOM_DELAY",
    "START_HOURS_RANGE",
    "NO_MAIL_OUTPUT",
];
/// More of them, of systemd-cron.
const OF_SYSTEMD_CRON: [&str; 5] =
    ["PERSISTENT", "DELAY", "BATCH", "CRON_MAIL_SUCCESS", "CRON_MAIL_FORMAT"];
/// The longest grace that a job may have, in seconds.
const GRACE_MAX: i32 = 31_536_000;

/// The settings above a line. Sorted, so that their order in the file does not change a job.
pub(super) struct Settings<'a> {
    cron: Cron,
    home: Option<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
    /// The size of those that are passed to commands.
    bytes: usize,
    /// Names that were seen anywhere.
    seen: BTreeSet<&'a str>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(cron: Cron, home: Option<&'a str>) -> Settings<'a> {
        Settings { cron, home, values: BTreeMap::new(), bytes: 0, seen: BTreeSet::new() }
    }

    pub(super) fn set(&mut self, name: &'a str, value: &'a str) {
        self.seen.insert(name);
        let before = self.values.insert(name, value);
        if self.is_passed(name) {
            let size = |value: &str| name.len() + value.len() + 4;
            self.bytes = self.bytes + size(value) - before.map_or(0, size);
        }
    }

    /// A setting that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied().filter(|value| !value.is_empty())
    }

    /// How many bytes commands get.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_passed(&self, name: &str) -> bool {
        let of_systemd = self.cron == Cron::SystemdCron && OF_SYSTEMD_CRON.contains(&name);
        !OF_CRON.contains(&name) && !of_systemd && self.cron != Cron::Busybox
    }

    /// What commands get, without `HOME`.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let passed =
            self.values.iter().filter(|(name, _)| self.is_passed(name) && **name != "HOME");
        passed.map(|(name, value)| (*name, *value))
    }

    /// Where cron starts commands; none if nothing says so.
    pub(super) fn home(&self) -> Option<&'a str> {
        let own = self.get("HOME").filter(|_| self.is_passed("HOME"));
        own.or(self.home)
    }

    /// The zone of schedules, if a setting says it; and the setting that seems to say it, but doesn't.
    pub(super) fn zone(&self) -> (Option<&'a str>, Option<&'static str>) {
        let (cron_tz, tz) = (self.get("CRON_TZ"), self.get("TZ"));
        match self.cron {
            Cron::SystemdCron => (cron_tz.or(tz), None),
            Cron::Debian | Cron::Freebsd | Cron::Busybox if cron_tz.is_some() => {
                (None, Some("CRON_TZ"))
            }
            _ if cron_tz.is_some() => (cron_tz, None),
            _ => (None, tz.map(|_| "TZ")),
        }
    }

    /// Whether either day field is enough even if one of them begins with `*`.
    pub(super) fn takes_either_day(&self) -> bool {
        self.cron == Cron::Supercronic
    }

    /// The upper bound of a random delay in minutes, if there is one.
    pub(super) fn random_delay(&self) -> Option<u32> {
        self.get("RANDOM_DELAY")?.parse().ok().filter(|minutes| *minutes > 0)
    }

    /// Whether missed starts are made up for, if a setting says it.
    pub(super) fn persists(&self) -> Option<bool> {
        let text = self.get("PERSISTENT").filter(|_| self.cron == Cron::SystemdCron)?;
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" => Some(true),
            "no" | "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// How late a start may be, in seconds, in NetBSD.
    pub(super) fn within(&self) -> Option<i32> {
        let seconds: i32 = self.get("CRON_WITHIN")?.parse().ok()?;
        (seconds > 0).then_some(seconds.min(GRACE_MAX))
    }

    /// The first hour in which anacron starts commands.
    pub(super) fn first_hour(&self) -> u32 {
        let range = self.get("START_HOURS_RANGE").and_then(|range| range.split('-').next());
        range.and_then(|hour| hour.trim().parse().ok()).filter(|hour| *hour < 24).unwrap_or(0)
    }

    /// What became of settings that are not passed to commands.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.seen.contains("MAILTO") || self.seen.contains("MAILFROM") {
            remarks
                .push("MAILTO: nothing is mailed; output is kept with each execution".to_owned());
        }
        let others = self.seen.iter().filter(|name| match self.cron {
            Cron::Busybox => !["SHELL", "MAILTO"].contains(*name),
            Cron::SystemdCron => {
                ["DELAY", "BATCH", "CRON_MAIL_SUCCESS", "CRON_MAIL_FORMAT"].contains(*name)
            }
            _ => ["CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"].contains(*name),
        });
        let others: Vec<&str> = others.copied().collect();
        if !others.is_empty() {
            let reason = if self.cron == Cron::Busybox { ", as by busybox" } else { "" };
            remarks.push(format!("left out{reason}: {}", others.join(", ")));
        }
        remarks
    }
}

/// Reads `NAME = value`, either of them in quotes or not.
pub(super) fn read(line: &str) -> Option<(&str, &str)> {
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
