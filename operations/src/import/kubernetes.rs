//! Translates Kubernetes' CronJobs: manifests, or what `kubectl get cronjob -o json` or `-o yaml` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use shared::job::{MisfirePolicy, OverlapPolicy, PAYLOAD_BYTES_MAX};
use shared::store::NewJob;

use super::{Budget, Entry, Import, Text, days, document, job};
use crate::failure::Failure;
use crate::format::counted;

/// Retries of a CronJob that states none.
const BACKOFF_LIMIT: i64 = 6;
/// The longest timeout and grace that a job may have, in seconds.
const TIMEOUT_MAX: i64 = 2_592_000;
const GRACE_MAX: i64 = 31_536_000;
/// Fields that are translated or make no difference, of the CronJob, its job, its pod and its container.
const OF_CRON_JOB: [&str; 7] = [
    "schedule",
    "timeZone",
    "concurrencyPolicy",
    "suspend",
    "startingDeadlineSeconds",
    "jobTemplate",
    "jobHistory",
];
const OF_JOB: [&str; 6] = [
    "backoffLimit",
    "activeDeadlineSeconds",
    "template",
    "completions",
    "parallelism",
    "completionMode",
];
const OF_POD: [&str; 6] = [
    "containers",
    "restartPolicy",
    "dnsPolicy",
    "schedulerName",
    "terminationGracePeriodSeconds",
    "securityContext",
];
const OF_CONTAINER: [&str; 9] = [
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "env",
    "workingDir",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// Translates CronJobs.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// The time zone of the cluster's controller, for CronJobs without one; none: UTC.
    pub timezone: Option<String>,
    /// The type of all jobs, whose handler gets image, command and environment; none: `command`.
    pub job_type: Option<String>,
}

impl Reader {
    /// Translates objects, or lists of them.
    ///
    /// # Errors
    /// If the text is neither JSON nor YAML.
    pub fn read(&self, text: &Text) -> Result<Import, Failure> {
        let documents = document::read(&text.text).map_err(|reason| {
            let remedy = "name a manifest, or what `kubectl get cronjob -o json` prints";
            Failure::Usage(format!("FILE is neither JSON nor YAML: {reason}; {remedy}"))
        })?;
        let mut objects = Vec::new();
        for document in documents {
            match document {
                Value::Array(items) => objects.extend(items),
                Value::Object(mut fields) => match fields.remove("items") {
                    Some(Value::Array(items)) => objects.extend(items),
                    _ => objects.push(Value::Object(fields)),
                },
                _ => {
                    let text = "FILE has neither an object nor a list";
                    return Err(Failure::Usage(text.to_owned()));
                }
            }
        }
        let mut remarks = text.remarks.clone();
        let (cron_jobs, others): (Vec<Value>, Vec<Value>) =
            objects.into_iter().partition(|object| object["kind"] == "CronJob");
        if !others.is_empty() {
            let mut kinds: Vec<&str> =
                others.iter().map(|object| object["kind"].as_str().unwrap_or("no kind")).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let left = counted(others.len(), "object");
            remarks.push(format!("left out: {left} of other kinds ({})", kinds.join(", ")));
        }
        remarks.push(match &self.job_type {
            Some(job_type) => format!("consumers must bring a handler for `{job_type}`, which starts the image"),
            None => "the jobs are of the type `command`: no image is started, so their programs must be on the consumers' \
                     machines, and allowed there (POLYCHRON_COMMANDS); --type hands image and command to a handler"
                .to_owned(),
        });
        if cron_jobs.is_empty() {
            remarks.push("there is no CronJob".to_owned());
        }
        let namespaces: BTreeSet<&str> = cron_jobs.iter().map(namespace).collect();
        let has_several = namespaces.len() > 1;
        let mut budget = Budget::default();
        let entries = cron_jobs.iter().map(|object| {
            let mut name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if has_several {
                name = format!("{}/{name}", namespace(object));
            }
            let mut notes = Vec::new();
            let job = budget.take_entry().and_then(|()| self.job(&name, object, &mut notes));
            let source = object["spec"]["schedule"].as_str().unwrap_or_default().to_owned();
            Entry { place: name, source, notes, is_named: true, job }
        });
        let entries = entries.collect();
        Ok(Import::new(entries, remarks))
    }

    fn job(&self, name: &str, object: &Value, notes: &mut Vec<String>) -> Result<NewJob, String> {
        let spec = object["spec"].as_object().ok_or("it has no spec")?;
        let of_job = spec.get("jobTemplate").map(|template| &template["spec"]);
        let of_job = of_job.and_then(Value::as_object).ok_or("it has no jobTemplate.spec")?;
        let pod = of_job.get("template").map(|template| &template["spec"]);
        let pod = pod.and_then(Value::as_object).ok_or("it has no pod template")?;
        let schedule = self.schedule(spec, notes)?;
        let payload = self.payload(pod, notes)?;
        let job_type = self.job_type.as_deref().unwrap_or("command");
        let mut job = job(name, job_type, schedule);
        job.payload = payload;
        job.is_enabled = spec.get("suspend") != Some(&Value::Bool(true));
        if !job.is_enabled {
            notes.push("it is suspended, and becomes paused".to_owned());
        }
        policies(&mut job, spec, of_job, notes)?;
        for (place, fields, known) in [
            ("spec", spec, &OF_CRON_JOB[..]),
            ("jobTemplate.spec", of_job, &OF_JOB),
            ("the pod", pod, &OF_POD),
        ] {
            note_left(place, fields, known, notes);
        }
        Ok(job)
    }

    fn schedule(
        &self,
        spec: &Map<String, Value>,
        notes: &mut Vec<String>,
    ) -> Result<Value, String> {
        let text = spec.get("schedule").and_then(Value::as_str).ok_or("it has no schedule")?.trim();
        let zone = spec.get("timeZone").and_then(Value::as_str).or(self.timezone.as_deref());
        if zone.is_none() {
            notes.push(
                "it has no timeZone, and its controller's is assumed to be UTC (--timezone)"
                    .to_owned(),
            );
        }
        let zone = zone.unwrap_or("UTC");
        if let Some(duration) = text.strip_prefix("@every ") {
            notes.push("counted from 1970, not from when the controller started".to_owned());
            return Ok(json!({"every": duration.trim()}));
        }
        if text.contains("TZ=") {
            return Err(
                "its schedule has a time zone, which Kubernetes refuses: write timeZone".to_owned()
            );
        }
        Ok(days::either(&text.replace('?', "*"), zone))
    }

    fn payload(&self, pod: &Map<String, Value>, notes: &mut Vec<String>) -> Result<Value, String> {
        if pod.contains_key("initContainers") {
            return Err(
                "it has initContainers, which have no counterpart: make one program of them"
                    .to_owned(),
            );
        }
        let containers = pod.get("containers").and_then(Value::as_array);
        let [container] = containers.map(Vec::as_slice).unwrap_or_default() else {
            return Err("it has several containers, or none: a job runs one program".to_owned());
        };
        let container = container.as_object().ok_or("its container is not an object")?;
        let mut room = PAYLOAD_BYTES_MAX;
        let environment = environment(container, &mut room, notes)?;
        note_left("the container", container, &OF_CONTAINER, notes);
        let mut list = |field: &str| -> Result<Vec<String>, String> {
            let words = container.get(field).and_then(Value::as_array).into_iter().flatten();
            let words = words.map(|word| {
                let word = word
                    .as_str()
                    .ok_or_else(|| format!("its {field} has an item that is not text"))?;
                expanded(word, &environment, &mut room)
            });
            words.collect()
        };
        let (command, args) = (list("command")?, list("args")?);
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let folder = container.get("workingDir").and_then(Value::as_str);
        if self.job_type.is_some() {
            let mut payload =
                json!({"image": image, "command": command, "args": args, "env": environment});
            if let Some(folder) = folder {
                payload["working_dir"] = json!(folder);
            }
            return Ok(payload);
        }
        if command.is_empty() {
            return Err(format!(
                "it runs the entry point of its image {image}, which only a handler can start: say --type"
            ));
        }
        notes.push(format!("its image {image} is not started"));
        let mut argv = Vec::new();
        if !environment.is_empty() {
            notes.push("/usr/bin/env sets env, which whoever lists processes can see".to_owned());
            argv.push("/usr/bin/env".to_owned());
            argv.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        }
        let program = command.first().map(String::as_str).unwrap_or_default();
        match folder {
            Some(folder) => {
                notes.push(format!("it goes through /bin/sh, which starts it in {folder}"));
                let start = r#"cd "$1" && shift && exec "$@""#;
                argv.extend(["/bin/sh", "-c", start, "sh", folder].map(str::to_owned));
            }
            None if argv.is_empty() && !program.starts_with('/') => {
                argv.push("/usr/bin/env".to_owned())
            }
            None => {}
        }
        argv.extend(command.into_iter().chain(args));
        Ok(json!({ "argv": argv }))
    }
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}

fn note_left(place: &str, fields: &Map<String, Value>, known: &[&str], notes: &mut Vec<String>) {
    let is_empty = |value: &Value| value.is_null() || *value == json!({}) || *value == json!([]);
    let left: Vec<&str> = fields
        .iter()
        .filter(|(name, value)| !known.contains(&name.as_str()) && !is_empty(value))
        .map(|(name, _)| name.as_str())
        .collect();
    if !left.is_empty() {
        notes.push(format!("left out of {place}: {}", left.join(", ")));
    }
}

fn policies(
    job: &mut NewJob,
    spec: &Map<String, Value>,
    of_job: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let whole = |fields: &Map<String, Value>, name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let whole = value.as_i64().filter(|whole| *whole >= 0);
            whole.map(Some).ok_or_else(|| format!("{name} is not a whole number"))
        }
    };
    for name in ["completions", "parallelism"] {
        if whole(of_job, name)?.is_some_and(|number| number > 1) {
            return Err(format!("its {name} is more than 1: a job runs one program"));
        }
    }
    job.overlap_policy = match spec.get("concurrencyPolicy").and_then(Value::as_str) {
        None | Some("Allow") => OverlapPolicy::Allow,
        Some("Forbid") => OverlapPolicy::Skip,
        Some("Replace") => {
            notes.push("concurrencyPolicy Replace has no counterpart: the run that goes on is not stopped, and the new one is \
                        skipped".to_owned());
            OverlapPolicy::Skip
        }
        Some(other) => return Err(format!("its concurrencyPolicy is `{other}`")),
    };
    notes.push(format!("concurrencyPolicy becomes overlap {}", job.overlap_policy));
    if let Some(seconds) = whole(spec, "startingDeadlineSeconds")? {
        job.misfire_policy = MisfirePolicy::Skip;
        job.misfire_grace_seconds = seconds.clamp(1, GRACE_MAX) as i32;
        notes.push(format!(
            "startingDeadlineSeconds becomes misfire skip after {} s",
            job.misfire_grace_seconds
        ));
    }
    let retries = whole(of_job, "backoffLimit")?.unwrap_or(BACKOFF_LIMIT);
    job.max_attempts = (retries.min(99) + 1) as i32;
    let attempts = counted(retries.min(99) as usize + 1, "attempt");
    notes.push(format!("backoffLimit {retries} becomes {attempts}"));
    if let Some(seconds) = whole(of_job, "activeDeadlineSeconds")? {
        job.timeout_seconds = Some(seconds.clamp(1, TIMEOUT_MAX) as i32);
        notes.push(
            "activeDeadlineSeconds held for all attempts together, and is the timeout of each here"
                .to_owned(),
        );
    }
    Ok(())
}

/// The literal variables; those from elsewhere are named.
fn environment(
    container: &Map<String, Value>,
    room: &mut usize,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut left = Vec::new();
    for variable in container.get("env").and_then(Value::as_array).into_iter().flatten() {
        let name = variable["name"].as_str().ok_or("an env has no name")?;
        match (variable.get("valueFrom"), variable.get("value")) {
            (Some(_), _) => left.push(name),
            (None, value) => {
                let value = value.and_then(Value::as_str).unwrap_or_default();
                let value = expanded(value, &variables, room)?;
                variables.insert(name.to_owned(), value);
            }
        }
    }
    if !left.is_empty() {
        notes.push(format!(
            "left out: {}, whose values come from secrets, maps or the pod: give them to the consumer's programs in another way",
            left.join(", ")
        ));
    }
    Ok(variables)
}

/// A text with `$(NAME)` replaced, and `$$` as `$`. `room` is how many bytes all texts may have.
fn expanded(
    text: &str,
    environment: &BTreeMap<String, String>,
    room: &mut usize,
) -> Result<String, String> {
    let too_long = || format!("its command and env have more than {PAYLOAD_BYTES_MAX} bytes");
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result += before;
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) =
            after.strip_prefix('(').and_then(|after| after.split_once(')'))
        {
            let is_name = !name.is_empty()
                && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char));
            match environment.get(name) {
                Some(value) => result += value,
                None if is_name => {
                    return Err(format!(
                        "it uses $({name}), whose value is not in env: write the value"
                    ));
                }
                None => result += &format!("$({name})"),
            }
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
        if result.len() > *room {
            return Err(too_long());
        }
    }
    result += rest;
    *room = room.checked_sub(result.len()).ok_or_else(too_long)?;
    Ok(result)
}

#[cfg(test)]
mod tests;
