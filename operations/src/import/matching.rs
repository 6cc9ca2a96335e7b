//! Finds the tenant's job that each entry of an import corresponds to.
//!
//! Names are not enough: lines of a crontab have none, and those that we make for them move when a line is
//! inserted. An entry's job is one that does the same; otherwise one that has its name, or that is alike.
//! No job corresponds to two entries.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Number, Value};
use shared::job::Job;
use shared::store::NewJob;

use super::Entry;
use super::name;

/// How many of the jobs that correspond to no entry are named.
const OTHERS_NAMED: usize = 10;

/// What an entry corresponds to.
pub(super) enum Match {
    /// Nothing: it is new.
    New,
    /// An earlier entry, at this place of the file, that does the same at the same times.
    Repeated(String),
    /// A job that does the same at the same times.
    Same(Box<Job>),
    /// A job that differs in these fields.
    Differs(Box<Job>, Vec<&'static str>),
}

/// Jobs of a type in the import that correspond to no entry.
#[derive(Debug, Default, serde::Serialize)]
pub struct OtherJobs {
    /// How many there are.
    pub count: usize,
    /// The names of the first.
    pub names: Vec<String>,
}

impl OtherJobs {
    fn push(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < OTHERS_NAMED {
            self.names.push(name.to_owned());
        }
    }
}

/// The entries by their keys, and the jobs that have one of these. What is kept of the tenant's jobs
/// is bounded by the number of entries.
pub(super) struct Matching<'a> {
    entries: &'a [Entry],
    /// Of each entry that has a job.
    keys: Vec<Option<Keys>>,
    names: HashSet<&'a str>,
    types: HashSet<&'a str>,
    wanted: HashSet<String>,
    /// For each action, how many entries have it.
    actions: HashMap<String, usize>,
    candidates: Vec<Candidate>,
    others: OtherJobs,
}

/// What entries and jobs are compared by.
struct Keys {
    /// The type and the payload.
    action: String,
    /// The same with the schedule.
    whole: String,
    schedule: String,
    /// The type, the program and the schedule.
    alike: Option<String>,
}

/// A job that may correspond to an entry, without its payload.
struct Candidate {
    job: Job,
    keys: Keys,
    is_taken: bool,
}

/// A key of an entry or a job, whose name is given.
type Key = fn(&str, &Keys) -> Option<String>;

/// The keys by which they are matched, the closest first.
const ROUNDS: [Key; 5] = [
    |name, keys| Some(format!("{name}\0{}", keys.whole)),
    |_, keys| Some(keys.whole.clone()),
    |_, keys| Some(keys.action.clone()),
    |name, _| Some(name.to_owned()),
    |_, keys| keys.alike.clone(),
];

impl<'a> Matching<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Matching<'a> {
        let jobs = || entries.iter().filter_map(|entry| entry.job.as_ref().ok());
        let keys = entries.iter().map(|entry| {
            let job = entry.job.as_ref().ok()?;
            Some(keys(&job.job_type, &job.payload, &job.schedule))
        });
        let keys: Vec<Option<Keys>> = keys.collect();
        let (mut wanted, mut actions) = (HashSet::new(), HashMap::new());
        for keys in keys.iter().flatten() {
            wanted.insert(keys.whole.clone());
            wanted.extend(keys.alike.clone());
            *actions.entry(keys.action.clone()).or_insert(0) += 1;
        }
        Matching {
            entries,
            keys,
            names: jobs().map(|job| job.name.as_str()).collect(),
            types: jobs().map(|job| job.job_type.as_str()).collect(),
            wanted,
            actions,
            candidates: Vec::new(),
            others: OtherJobs::default(),
        }
    }

    /// Considers a job of the tenant.
    pub(super) fn consider(&mut self, job: Job) {
        let keys = keys(&job.job_type, &job.payload, &job.schedule);
        // Each key admits as many jobs as there are entries for it.
        let mut is_candidate = self.names.contains(job.name.as_str());
        is_candidate |= self.wanted.remove(&keys.whole);
        is_candidate |= keys.alike.as_ref().is_some_and(|alike| self.wanted.remove(alike));
        if let Some(room) = self.actions.get_mut(&keys.action).filter(|room| **room > 0) {
            *room -= 1;
            is_candidate = true;
        }
        if is_candidate {
            let job = Job { payload: Value::Null, notify: None, ..job };
            self.candidates.push(Candidate { job, keys, is_taken: false });
        } else if self.types.contains(job.job_type.as_str()) {
            self.others.push(&job.name);
        }
    }

    /// What each entry corresponds to, and the jobs that correspond to none.
    pub(super) fn finish(mut self) -> (Vec<Match>, OtherJobs) {
        let mut matches = self.repeated();
        // Round by round, so that no entry takes a job that is closer to another one.
        for key in ROUNDS {
            self.round(key, &mut matches);
        }
        let left = self.candidates.iter().filter(|candidate| !candidate.is_taken);
        left.for_each(|candidate| self.others.push(&candidate.job.name));
        (matches, self.others)
    }

    /// The entries, of which some repeat an earlier one. If the other scheduler has names, two that
    /// differ in them only are meant to be two.
    fn repeated(&self) -> Vec<Match> {
        let mut first: HashMap<&str, &str> = HashMap::new();
        let entries = self.entries.iter().zip(&self.keys);
        let matches = entries.map(|(entry, keys)| {
            let Some(keys) = keys.as_ref().filter(|_| !entry.is_named) else { return Match::New };
            match first.get(keys.whole.as_str()) {
                Some(place) => Match::Repeated((*place).to_owned()),
                None => {
                    first.insert(&keys.whole, &entry.place);
                    Match::New
                }
            }
        });
        matches.collect()
    }

    fn round(&mut self, key: Key, matches: &mut [Match]) {
        let mut free: HashMap<String, VecDeque<&mut Candidate>> = HashMap::new();
        for candidate in self.candidates.iter_mut().filter(|candidate| !candidate.is_taken) {
            if let Some(key) = key(&candidate.job.name, &candidate.keys) {
                free.entry(key).or_default().push_back(candidate);
            }
        }
        for ((matched, entry), keys) in matches.iter_mut().zip(self.entries).zip(&self.keys) {
            let (Match::New, Ok(new), Some(keys)) = (&*matched, &entry.job, keys) else { continue };
            let found = key(&new.name, keys).and_then(|key| free.get_mut(&key)?.pop_front());
            let Some(candidate) = found else { continue };
            candidate.is_taken = true;
            let differences = candidate.differences(new, keys);
            let job = Box::new(candidate.job.clone());
            *matched = match differences.is_empty() {
                true => Match::Same(job),
                false => Match::Differs(job, differences),
            };
        }
    }
}

impl Candidate {
    /// The fields that the entry states otherwise. It states a policy only if that isn't the default, as people
    /// change those of imported jobs.
    fn differences(&self, new: &NewJob, keys: &Keys) -> Vec<&'static str> {
        let Candidate { job, keys: found, .. } = self;
        let default = NewJob::new("", "", Value::Null);
        let is_other = [
            ("job_type", new.job_type != job.job_type),
            ("payload", new.job_type == job.job_type && keys.action != found.action),
            ("schedule", keys.schedule != found.schedule),
            ("queue", new.queue != default.queue && new.queue != job.queue),
            (
                "misfire_policy",
                new.misfire_policy != default.misfire_policy
                    && new.misfire_policy != job.misfire_policy,
            ),
            (
                "misfire_grace_seconds",
                new.misfire_grace_seconds != default.misfire_grace_seconds
                    && new.misfire_grace_seconds != job.misfire_grace_seconds,
            ),
            (
                "overlap_policy",
                new.overlap_policy != default.overlap_policy
                    && new.overlap_policy != job.overlap_policy,
            ),
        ];
        is_other.into_iter().filter(|(_, is_other)| *is_other).map(|(field, _)| field).collect()
    }
}

fn keys(job_type: &str, payload: &Value, schedule: &Value) -> Keys {
    let mut schedule = canonical(schedule);
    if let Value::Object(fields) = &mut schedule
        && fields.contains_key("cron")
        && fields.get("timezone").is_some_and(|zone| zone == "UTC")
    {
        fields.remove("timezone");
    }
    let schedule = schedule.to_string();
    let action = format!("{job_type}\0{}", canonical(payload));
    let subject = name::subject(payload);
    Keys {
        whole: format!("{action}\0{schedule}"),
        alike: subject.map(|subject| format!("alike\0{job_type}\0{subject}\0{schedule}")),
        action,
        schedule,
    }
}

/// The value as it is in every database: `jsonb` sorts fields, and may return 1e2 as 100.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number)),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            let sorted = sorted.into_iter().map(|(name, value)| (name.clone(), canonical(value)));
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn whole(number: &Number) -> Number {
    // Above 2^53, a float stands for several whole numbers.
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
    match float {
        Some(float) if number.is_f64() => Number::from(float as i64),
        _ => number.clone(),
    }
}
