use super::*;

fn reader(job_type: Option<&str>) -> Reader {
    Reader { timezone: None, job_type: job_type.map(str::to_owned) }
}

fn cron_job(spec: Value, of_job: Value, pod: Value, container: Value) -> Value {
    let merged = |mut base: Value, more: Value| {
        base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        base
    };
    let container = merged(
        json!({"name": "a", "image": "example/report:1", "command": ["/bin/report"], "args": ["--all"]}),
        container,
    );
    let pod = merged(json!({"containers": [container], "restartPolicy": "Never"}), pod);
    let of_job = merged(json!({"template": {"spec": pod}}), of_job);
    let spec = merged(json!({"schedule": "0 5 * * *", "jobTemplate": {"spec": of_job}}), spec);
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": "shop"}, "spec": spec})
}

fn read(object: &Value) -> (Result<NewJob, String>, String) {
    let import = reader(None).read(&Text::plain(&object.to_string())).unwrap();
    let entry = import.entries.into_iter().next().unwrap();
    (entry.job, entry.notes.join("\n"))
}

#[test]
fn a_cron_job_becomes_a_job() {
    let object = cron_job(
        json!({
            "timeZone": "Europe/Berlin", "concurrencyPolicy": "Forbid", "suspend": true,
            "startingDeadlineSeconds": 200, "successfulJobsHistoryLimit": 3
        }),
        json!({"backoffLimit": 2, "activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 60}),
        json!({"serviceAccountName": "reporter", "volumes": []}),
        json!({
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "args": ["$(B)", "$$(A)", "$x", "$(not a name)"], "resources": {"limits": {"cpu": "1"}}
        }),
    );
    let (job, notes) = read(&object);
    let job = job.unwrap();
    assert_eq!(job.schedule, json!({"cron": "0 5 * * *", "timezone": "Europe/Berlin"}));
    assert_eq!(
        job.payload,
        json!({"argv": ["/usr/bin/env", "A=1", "B=12", "/bin/report", "12", "$(A)", "$x", "$(not a name)"]})
    );
    assert_eq!((job.name.as_str(), job.is_enabled), ("report", false));
    assert_eq!((job.max_attempts, job.timeout_seconds), (3, Some(600)));
    assert_eq!((job.misfire_policy, job.misfire_grace_seconds), (MisfirePolicy::Skip, 200));
    assert_eq!(job.overlap_policy, OverlapPolicy::Skip);
    for says in [
        "successfulJobsHistoryLimit",
        "ttlSecondsAfterFinished",
        "serviceAccountName",
        "resources",
        "PASSWORD, whose values come from secrets",
        "image example/report:1 is not started",
    ] {
        assert!(notes.contains(says), "{says}: {notes}");
    }
    assert!(!notes.contains("volumes"), "{notes}");
}

#[test]
fn defaults_are_those_of_kubernetes() {
    let empty = || json!({});
    let (job, notes) = read(&cron_job(empty(), empty(), empty(), empty()));
    let job = job.unwrap();
    assert_eq!((job.max_attempts, job.overlap_policy), (7, OverlapPolicy::Allow));
    assert_eq!(
        (job.misfire_policy, job.schedule["timezone"].as_str()),
        (MisfirePolicy::RunOnce, Some("UTC"))
    );
    assert!(notes.contains("assumed to be UTC"), "{notes}");
}

#[test]
fn schedules_mean_what_they_mean_there() {
    let schedule = |text: &str| {
        let empty = || json!({});
        read(&cron_job(json!({"schedule": text, "timeZone": "UTC"}), empty(), empty(), empty()))
            .0
            .map(|job| job.schedule)
    };
    let cron = |expression: &str| json!({"cron": expression, "timezone": "UTC"});
    assert_eq!(schedule("@daily"), Ok(cron("@daily")));
    assert_eq!(schedule("0 5 ? * MON"), Ok(cron("0 5 * * MON")));
    assert_eq!(schedule("@every 1h30m"), Ok(json!({"every": "1h30m"})));
    assert_eq!(schedule("0 5 13 * 5"), Ok(cron("0 5 13 * 5")));
    assert_eq!(
        schedule("0 5 */2 * 1"),
        Ok(json!({"any": [{"cron": "0 5 */2 * *"}, {"cron": "0 5 * * 1"}], "timezone": "UTC"}))
    );
    assert!(schedule("TZ=UTC 0 5 * * *").unwrap_err().contains("timeZone"));
    assert!(schedule("nonsense").is_err());
}

#[test]
fn what_has_no_counterpart_is_refused_with_the_reason() {
    let empty = || json!({});
    for (object, says) in [
        (cron_job(empty(), empty(), json!({"initContainers": [{}]}), empty()), "initContainers"),
        (
            cron_job(empty(), empty(), json!({"containers": [{}, {}]}), empty()),
            "several containers",
        ),
        (cron_job(empty(), json!({"parallelism": 2}), empty(), empty()), "parallelism"),
        (cron_job(empty(), empty(), empty(), json!({"command": []})), "say --type"),
        (cron_job(empty(), empty(), empty(), json!({"args": ["$(NONE)"]})), "$(NONE)"),
        (cron_job(json!({"concurrencyPolicy": "Perhaps"}), empty(), empty(), empty()), "Perhaps"),
        (cron_job(empty(), json!({"backoffLimit": "six"}), empty(), empty()), "backoffLimit"),
        (json!({"kind": "CronJob", "metadata": {"name": "a"}}), "no spec"),
    ] {
        let reason = read(&object).0.unwrap_err();
        assert!(reason.contains(says), "{says}: {reason}");
    }
    let (job, notes) =
        read(&cron_job(json!({"concurrencyPolicy": "Replace"}), empty(), empty(), empty()));
    assert!(job.is_ok() && notes.contains("Replace has no counterpart"), "{notes}");
}

#[test]
fn a_handler_gets_image_and_command() {
    let empty = || json!({});
    let object = cron_job(empty(), empty(), empty(), json!({"command": [], "workingDir": "/srv"}));
    let import = reader(Some("pod")).read(&Text::plain(&object.to_string())).unwrap();
    let job = import.entries.into_iter().next().unwrap().job.unwrap();
    assert_eq!(job.job_type, "pod");
    assert_eq!(
        job.payload,
        json!({"image": "example/report:1", "command": [], "args": ["--all"], "env": {}, "working_dir": "/srv"})
    );
    let object = cron_job(empty(), empty(), empty(), json!({"workingDir": "/srv"}));
    let argv = read(&object).0.unwrap().payload;
    assert_eq!(
        argv,
        json!({"argv": ["/bin/sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", "/srv", "/bin/report", "--all"]})
    );
}

#[test]
fn a_manifest_in_yaml_is_read_like_json() {
    let manifest = r#"# Two objects.
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: report
  namespace: shop
spec:
  schedule: "0 5 * * *"
  timeZone: Europe/Berlin
  suspend: yes
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: a
            image: example/report:1
            command: [/bin/report]
            args:
            - --all
            - "1"
            env:
            - {name: SINCE, value: "2026-01-01"}
"#;
    let import = reader(None).read(&Text::plain(manifest)).unwrap();
    assert_eq!(import.entries.len(), 1);
    let left = "left out: 1 object of other kinds (ConfigMap)";
    assert!(import.remarks.iter().any(|remark| remark == left), "{:?}", import.remarks);
    let job = import.entries.into_iter().next().unwrap().job.unwrap();
    let object = cron_job(
        json!({"timeZone": "Europe/Berlin", "suspend": true}),
        json!({"backoffLimit": 2}),
        json!({}),
        json!({"args": ["--all", "1"], "env": [{"name": "SINCE", "value": "2026-01-01"}]}),
    );
    let same = read(&object).0.unwrap();
    assert_eq!((job.name, job.is_enabled), (same.name, false));
    assert_eq!((job.schedule, job.payload), (same.schedule, same.payload));
    assert_eq!(job.max_attempts, same.max_attempts);
}

#[test]
fn lists_are_read_and_other_objects_are_named() {
    let empty = || json!({});
    let first = cron_job(empty(), empty(), empty(), empty());
    let mut second = first.clone();
    second["metadata"]["namespace"] = json!("office");
    let list = json!({"kind": "List", "items": [first, second, {"kind": "Deployment"}]});
    let import = reader(None).read(&Text::plain(&list.to_string())).unwrap();
    let names: Vec<&str> = import.entries.iter().map(|entry| entry.place.as_str()).collect();
    assert_eq!(names, ["shop/report", "office/report"]);
    assert!(
        import.remarks.iter().any(|remark| remark.contains("Deployment")),
        "{:?}",
        import.remarks
    );
    assert!(import.entries.iter().all(|entry| entry.job.is_ok()));
    for text in ["kind: [CronJob", "kind: CronJob\n---\n1", "", "1"] {
        assert!(matches!(reader(None).read(&Text::plain(text)), Err(Failure::Usage(_))), "{text}");
    }
}
