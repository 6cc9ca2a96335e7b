//! Translates systemd's timers with the services that they start.

mod service;
mod units;

use serde_json::{Value, json};
use shared::id::{JobId, TenantId};
use shared::job::MisfirePolicy;
use shared::schedule::{Schedule, Spread, readings};
use shared::store::NewJob;
use uuid::Uuid;

use super::{Budget, Entry, Import, Text, job};
use units::{Unit, Units};

/// What starts a timer relative to something that we do not know, with the reason.
const RELATIVE: [(&str, &str); 6] = [
    ("OnBootSec", "counts from when a machine boots, and a job has no machine"),
    ("OnStartupSec", "counts from when systemd starts, and a job has no machine"),
    ("OnActiveSec", "counts from when the timer is switched on"),
    ("OnUnitInactiveSec", "counts from the end of the last run"),
    ("OnClockChange", "starts when the clock jumps"),
    ("OnTimezoneChange", "starts when the time zone changes"),
];
/// Settings of a timer that are translated, or make no difference.
const KNOWN: [&str; 8] = [
    "OnCalendar",
    "OnUnitActiveSec",
    "Persistent",
    "RandomizedDelaySec",
    "FixedRandomDelay",
    "RandomizedOffsetSec",
    "Unit",
    "RemainAfterElapse",
];
/// Units of durations, with their seconds.
const UNITS: [(&[&str], f64); 8] = [
    (&["us", "usec", "µs"], 1e-6),
    (&["ms", "msec"], 1e-3),
    (&["", "s", "sec", "second", "seconds"], 1.0),
    (&["m", "min", "minute", "minutes"], 60.0),
    (&["h", "hr", "hour", "hours"], 3600.0),
    (&["d", "day", "days"], 86_400.0),
    (&["w", "week", "weeks"], 604_800.0),
    (&["M", "month", "months"], 2_629_800.0),
];

/// Translates units: the files of timers and services, or what `systemctl cat` prints.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a> {
    /// The time zone of the machine, for times that name none; none: UTC.
    pub timezone: Option<&'a str>,
}

impl Reader<'_> {
    /// Translates the timers in `files`, each with its name.
    pub fn read(&self, files: &[(String, Text)]) -> Import {
        let units =
            Units::read(files.iter().map(|(name, text)| (name.as_str(), text.text.as_str())));
        let mut remarks: Vec<String> =
            files.iter().flat_map(|(_, text)| text.remarks.iter().cloned()).collect();
        let mut budget = Budget::default();
        let mut entries = Vec::new();
        for timer in units.timers() {
            let mut notes = Vec::new();
            let job = budget.take_entry().and_then(|()| self.job(timer, &units, &mut notes));
            // Several timers may start the same service.
            let job = job.and_then(|job| {
                budget.take_payload(job.payload.to_string().len())?;
                Ok(job)
            });
            let (place, source) = (timer.name.clone(), timer.shown("Timer"));
            entries.push(Entry { place, source, notes, is_named: true, job });
        }
        remarks.push(
            "the jobs are of the type `command`: consumers must be allowed to start their programs (POLYCHRON_COMMANDS), \
             which run in / with an environment of their own, and without the service's sandbox"
                .to_owned(),
        );
        if entries.is_empty() {
            remarks.push(
                "there is no timer: name its file, or pipe `systemctl cat NAME.timer NAME.service`"
                    .to_owned(),
            );
        }
        Import::new(entries, remarks)
    }

    fn job(&self, timer: &Unit, units: &Units, notes: &mut Vec<String>) -> Result<NewJob, String> {
        let schedule = self.schedule(timer, notes)?;
        let stem = timer.name.trim_end_matches(".timer");
        let started =
            timer.last("Timer", "Unit").map_or_else(|| format!("{stem}.service"), str::to_owned);
        let service = units.find(&started).ok_or_else(|| {
            format!("it starts {started}, which is not among the files: name its file, too")
        })?;
        let argv = service::argv(service, &started, notes)?;
        let mut job = job(stem, "command", schedule);
        job.payload = json!({ "argv": argv });
        job.timeout_seconds = service::timeout(service);
        let persists = timer.last("Timer", "Persistent").is_some_and(is_true);
        job.misfire_policy = if persists { MisfirePolicy::RunOnce } else { MisfirePolicy::Skip };
        notes.push(format!("Persistent={persists} becomes misfire {}", job.misfire_policy));
        Ok(job)
    }

    fn schedule(&self, timer: &Unit, notes: &mut Vec<String>) -> Result<Value, String> {
        let mut any = Vec::new();
        for event in timer.all("Timer", "OnCalendar") {
            any.push(self.calendar(event)?);
        }
        for period in timer.all("Timer", "OnUnitActiveSec") {
            let seconds = duration(period).filter(|seconds| *seconds >= 1.0);
            let seconds = seconds
                .ok_or_else(|| format!("OnUnitActiveSec={period} is not a duration in seconds"))?;
            notes.push(
                "OnUnitActiveSec counted from the last start, and counts from 1970 here".to_owned(),
            );
            any.push(json!({"every": format!("{seconds:.0}s")}));
        }
        for (setting, reason) in RELATIVE {
            if let Some(value) = timer.last("Timer", setting) {
                let left = format!("{setting}={value} {reason}");
                if any.is_empty() {
                    return Err(format!("{left}; it has no other time"));
                }
                notes.push(format!("left out: {left}"));
            }
        }
        let left = timer.names("Timer").filter(|name| {
            !KNOWN.contains(name) && !RELATIVE.iter().any(|(relative, _)| relative == name)
        });
        let left: Vec<&str> = left.collect();
        if !left.is_empty() {
            notes.push(format!("left out: {}", left.join(", ")));
        }
        let schedule = match any.len() {
            0 => return Err("it has no OnCalendar".to_owned()),
            1 => any.swap_remove(0),
            _ => json!({ "any": any }),
        };
        delayed(schedule, timer, notes)
    }

    /// A calendar event in its own zone, or in the machine's.
    fn calendar(&self, event: &str) -> Result<Value, String> {
        let mut readings = readings(event).into_iter();
        let reading = readings.find(|reading| reading.language.contains("systemd"));
        let reading = reading.ok_or_else(|| {
            format!("OnCalendar={event} has no counterpart; write it as a cron expression by hand")
        })?;
        let mut schedule = reading.schedule;
        if schedule.get("timezone").is_none() {
            schedule["timezone"] = json!(self.timezone.unwrap_or("UTC"));
        }
        Ok(schedule)
    }
}

/// The schedule with the timer's random delay as its jitter.
fn delayed(schedule: Value, timer: &Unit, notes: &mut Vec<String>) -> Result<Value, String> {
    let setting = ["RandomizedDelaySec", "RandomizedOffsetSec"]
        .into_iter()
        .find(|name| timer.last("Timer", name).is_some());
    let Some(setting) = setting else { return Ok(schedule) };
    let text = timer.last("Timer", setting).unwrap_or_default();
    let seconds = duration(text).ok_or_else(|| format!("{setting}={text} is not a duration"))?;
    if seconds < 1.0 {
        return Ok(schedule);
    }
    let mut delayed = schedule.clone();
    delayed["jitter"] = json!(format!("{seconds:.0}s"));
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    if Schedule::read(&delayed.to_string(), spread).is_ok() {
        notes.push(format!("{setting} becomes `jitter`, one fixed delay below {seconds:.0} s"));
        return Ok(delayed);
    }
    if Schedule::read(&schedule.to_string(), spread).is_ok() {
        notes.push(format!("{setting}={text} is left out: it is not shorter than the period"));
    }
    Ok(schedule)
}

fn is_true(text: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].contains(&text.to_ascii_lowercase().as_str())
}

/// A duration of systemd, such as `1h 30min`, in seconds; none if it is none, or infinite.
fn duration(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end =
            rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|char: char| !char.is_alphabetic()).unwrap_or(rest.len());
        let (_, length) = UNITS.iter().find(|(names, _)| names.contains(&&rest[..end]))?;
        seconds += number * length;
        rest = rest[end..].trim_start();
    }
    (seconds < 1e10).then_some(seconds)
}

#[cfg(test)]
mod tests;
