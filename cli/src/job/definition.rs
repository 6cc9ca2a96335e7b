//! The flags that define a job.

use clap::Args;
use serde_json::{Value, json};
use shared::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};
use shared::schedule::{Patch, Spread};
use shared::store::{JobEdit, NewJob};

use crate::input;
use operations::failure::Failure;
use operations::schedule::{self, Options};

/// When a job runs: one of five ways to say it.
#[derive(Args)]
#[command(next_help_heading = "When it runs")]
pub(super) struct Timing {
    /// A cron expression of five fields, or six with seconds in front; give it again for more times
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["every", "at", "schedule"])]
    cron: Vec<String>,
    /// The time zone of the cron expression or of a local time, such as Europe/London; UTC by default, or as it was
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// A fixed interval, such as 15m; with --timezone and --from, days, weeks, months or years on the calendar
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["at", "schedule"])]
    every: Option<String>,
    /// The first time of --every, such as 2026-01-02T09:00:00 in --timezone
    #[arg(long, value_name = "TIME", requires = "every")]
    from: Option<String>,
    /// Once, at this time, such as 2026-12-01T09:00:00Z; without Z or an offset, in --timezone
    #[arg(long, value_name = "TIME", conflicts_with = "schedule")]
    at: Option<String>,
    /// A recurrence rule of a calendar, such as FREQ=WEEKLY;INTERVAL=2;BYDAY=FR; with --start, its DTSTART
    #[arg(long, value_name = "RULE", conflicts_with_all = ["cron", "every", "at", "schedule"])]
    rrule: Option<String>,
    /// No run before this time; without Z or an offset, in --timezone
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// No run after this time; without Z or an offset, in --timezone
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// The years in which a cron expression runs, such as 2026-2028,2030
    #[arg(long, value_name = "YEARS")]
    years: Option<String>,
    /// A date on which it does not run: 2026-12-25, 2026-12-24/2027-01-02, or 12-25 for each year; give it
    /// again for more dates
    #[arg(long, value_name = "DATE")]
    except: Vec<String>,
    /// A schedule as JSON with its options, or a cron expression; an edit keeps the options that it does not
    /// name, and null removes one
    #[arg(long, value_name = "JSON|EXPR")]
    schedule: Option<String>,
}

impl Timing {
    /// The schedule of a new job, if one was given and the engine can read it.
    pub(super) fn schedule(&self, spread: Spread) -> Result<Option<Value>, Failure> {
        let Some(text) = self.text()? else { return Ok(None) };
        schedule::read(&text, spread)?;
        let value = serde_json::from_str(&text);
        value.map(Some).map_err(|error| Failure::Usage(format!("--schedule is not JSON: {error}")))
    }

    /// What the flags change of a job's schedule, if anything.
    pub(super) fn patch(&self) -> Result<Option<Patch>, Failure> {
        let read = |text: String| schedule::patch(&text, &Options::default());
        self.text()?.map(read).transpose()
    }

    /// The flags as JSON.
    fn text(&self) -> Result<Option<String>, Failure> {
        let Timing { cron, timezone, every, from, at, schedule, except, years, rrule, start, end } =
            self;
        let options = Options {
            timezone: timezone.as_deref(),
            except,
            years: years.as_deref(),
            start: start.as_deref(),
            end: end.as_deref(),
        };
        let text = schedule.clone().or_else(|| (!cron.is_empty()).then(|| cron.join("\n")));
        if let Some(text) = text {
            return schedule::written(&text, &options).map(Some);
        }
        let mut fields = match (every, at, rrule) {
            (Some(every), ..) => json!({"every": every}),
            (None, Some(at), _) => json!({"at": at}),
            (None, None, Some(rrule)) => json!({"rrule": rrule}),
            (None, None, None) => json!({}),
        };
        if let Some(from) = from {
            fields["from"] = from.as_str().into();
        }
        let fields = options.added_to(fields);
        Ok((fields != json!({})).then(|| fields.to_string()))
    }
}

/// What else a job is.
#[derive(Args)]
#[command(next_help_heading = "What it does")]
pub(super) struct Definition {
    /// The payload for the handler, at most 64 KiB; `@FILE` reads a file, `-` standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The queue it goes through, `default` by default
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// The longest one attempt may run, 1 s to 30 days; `default` for POLYCHRON_JOB_TIMEOUT
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Timeout>,
    /// How many attempts an occurrence gets, 3 by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    max_attempts: Option<i32>,
    /// The delay before the second attempt, doubled for each later one; 10 s by default
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| input::seconds(text, 0, 3600))]
    retry_base: Option<i32>,
    /// The misfire policy, for occurrences first seen too late: run_once (default), run_all or skip
    #[arg(long, value_name = "POLICY", value_parser = str::parse::<MisfirePolicy>)]
    misfire: Option<MisfirePolicy>,
    /// How late an occurrence must be first seen to be a misfire; 60 s by default
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| input::seconds(text, 1, 31_536_000))]
    misfire_grace: Option<i32>,
    /// The overlap policy, for an occurrence while another is open: skip (default), queue or allow
    #[arg(long, value_name = "POLICY", value_parser = str::parse::<OverlapPolicy>)]
    overlap: Option<OverlapPolicy>,
    /// The orphan policy, for an occurrence whose worker was lost: retry (default) or fail
    #[arg(long, value_name = "POLICY", value_parser = str::parse::<OrphanPolicy>)]
    orphan: Option<OrphanPolicy>,
    /// Whom to notify when it fails for good, is late or recovers: a URL, or JSON with headers, signing_secret
    /// and on; `off` for no one, `default` for the target of `polychron tenant notify`
    #[arg(long, value_name = "URL|JSON", value_parser = notify)]
    notify: Option<Notify>,
}

/// `timeout_seconds`, or none for the default.
#[derive(Clone, Copy)]
struct Timeout(Option<i32>);

fn timeout(text: &str) -> Result<Timeout, String> {
    match text {
        "default" => Ok(Timeout(None)),
        _ => input::seconds(text, 1, 2_592_000).map(|seconds| Timeout(Some(seconds))),
    }
}

/// `job.notify`, or none for the tenant's.
#[derive(Clone)]
struct Notify(Option<Value>);

fn notify(text: &str) -> Result<Notify, String> {
    match text {
        "default" => Ok(Notify(None)),
        _ => input::target(text).map(|target| Notify(Some(target))),
    }
}

impl Definition {
    /// A new job; fields without a flag get the defaults.
    pub(super) fn new_job(
        &self,
        name: &str,
        job_type: &str,
        schedule: Value,
    ) -> Result<NewJob, Failure> {
        Ok(NewJob::new(name, job_type, schedule).with(self.edit()?))
    }

    /// A change of the fields that have a flag.
    pub(super) fn edit(&self) -> Result<JobEdit, Failure> {
        Ok(JobEdit {
            payload: self.payload.as_deref().map(input::payload).transpose()?,
            queue: self.queue.clone(),
            timeout_seconds: self.timeout.map(|Timeout(seconds)| seconds),
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base,
            misfire_policy: self.misfire,
            misfire_grace_seconds: self.misfire_grace,
            overlap_policy: self.overlap,
            orphan_policy: self.orphan,
            notify: self.notify.clone().map(|Notify(target)| target),
            ..JobEdit::default()
        })
    }
}
