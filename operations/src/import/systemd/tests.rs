use super::*;

fn read(files: &[(&str, &str)]) -> Import {
    let files: Vec<(String, Text)> =
        files.iter().map(|(name, text)| ((*name).to_owned(), Text::plain(text))).collect();
    Reader { timezone: Some("Europe/Paris") }.read(&files)
}

/// The job of a timer and a service with these settings.
fn one(timer: &str, service: &str) -> (Result<NewJob, String>, String) {
    let timer = format!("[Timer]\n{timer}\n");
    let service = format!("[Service]\n{service}\n");
    let entry = read(&[("a.timer", &timer), ("a.service", &service)]).entries.remove(0);
    (entry.job, entry.notes.join("\n"))
}

fn schedule(timer: &str) -> Result<Value, String> {
    one(timer, "ExecStart=/bin/a").0.map(|job| job.schedule)
}

fn argv(service: &str) -> Result<Vec<String>, String> {
    let job = one("OnCalendar=daily", service).0?;
    Ok(serde_json::from_value(job.payload["argv"].clone()).unwrap())
}

#[test]
fn a_timer_becomes_a_job_with_its_services_command() {
    let (job, notes) = one(
        "OnCalendar=Mon..Fri *-*-* 09:00:00\nPersistent=true\nRandomizedDelaySec=5min\nOnBootSec=15min\nAccuracySec=1us",
        "Type=oneshot\nUser=shop\nTimeoutStartSec=1h 30min\nExecStart=/usr/bin/report --all\nNice=19\nEnvironmentFile=/etc/shop",
    );
    let job = job.unwrap();
    assert_eq!(
        job.schedule,
        json!({"cron": "0 9 * * MON-FRI", "timezone": "Europe/Paris", "jitter": "300s"})
    );
    assert_eq!((job.name.as_str(), job.timeout_seconds), ("a", Some(5400)));
    assert_eq!((job.misfire_policy, job.max_attempts), (MisfirePolicy::RunOnce, 1));
    assert_eq!(job.payload, json!({"argv": ["/usr/bin/report", "--all"]}));
    for says in
        ["left out: OnBootSec=15min", "AccuracySec", "EnvironmentFile, Nice", "as shop", "jitter"]
    {
        assert!(notes.contains(says), "{says}: {notes}");
    }
    let (job, _) = one("OnCalendar=daily", "ExecStart=/bin/a");
    assert_eq!(job.unwrap().misfire_policy, MisfirePolicy::Skip);
}

#[test]
fn calendar_events_are_in_their_zone() {
    let cron = |expression: &str, zone: &str| json!({"cron": expression, "timezone": zone});
    assert_eq!(schedule("OnCalendar=daily"), Ok(cron("0 0 * * *", "Europe/Paris")));
    assert_eq!(
        schedule("OnCalendar=*-*-* 04:30:00 Asia/Tokyo"),
        Ok(cron("30 4 * * *", "Asia/Tokyo"))
    );
    assert_eq!(
        schedule("OnCalendar=*-*-* 08:30\nOnCalendar=*-*-* 12:00"),
        Ok(
            json!({"any": [cron("30 8 * * *", "Europe/Paris"), cron("0 12 * * *", "Europe/Paris")]})
        )
    );
    // An empty value resets the list, as drop-ins do.
    assert_eq!(
        schedule("OnCalendar=hourly\nOnCalendar=\nOnCalendar=weekly"),
        Ok(cron("0 0 * * MON", "Europe/Paris"))
    );
    assert_eq!(schedule("OnUnitActiveSec=15min\nOnBootSec=1min"), Ok(json!({"every": "900s"})));
    for (timer, says) in [
        ("OnBootSec=15min", "OnBootSec=15min counts from when a machine boots"),
        ("OnUnitInactiveSec=1h", "end of the last run"),
        ("Persistent=true", "no OnCalendar"),
        ("OnCalendar=Mon *-*-1,15 10:00", "no counterpart"),
        ("OnCalendar=soon", "no counterpart"),
        ("OnUnitActiveSec=soon", "not a duration"),
    ] {
        let reason = schedule(timer).unwrap_err();
        assert!(reason.contains(says), "{timer}: {reason}");
    }
}

#[test]
fn commands_are_read_as_systemd_does() {
    let is = |service: &str, expected: &[&str]| {
        assert_eq!(argv(service).unwrap(), expected, "{service}")
    };
    is("ExecStart=-/bin/a 'b c' \"d\\\"e\" \\\n  f%%g", &["/bin/a", "b c", "d\"e", "f%g"]);
    is(
        "Environment=A=1 \"B=x y\"\nExecStart=/bin/a $B ${A}z $$",
        &["/usr/bin/env", "A=1", "B=x y", "/bin/a", "x", "y", "1z", "$"],
    );
    is("ExecStart=/bin/a\nExecStart=/bin/b 'c d'", &["/bin/sh", "-c", "/bin/a && /bin/b 'c d'"]);
    is("WorkingDirectory=/srv\nExecStart=/bin/a", &["/bin/sh", "-c", "cd /srv && /bin/a"]);
    is("ExecStart=/bin/a %n %N", &["/bin/a", "a.service", "a"]);
    for (service, says) in [
        ("ExecStart=a", "has no path"),
        ("Type=oneshot", "no ExecStart"),
        ("ExecStart=@/bin/a b", "another name"),
        ("ExecStart=/bin/a $HOME", "$HOME"),
        ("ExecStart=/bin/a %h", "%h"),
        ("ExecStart=/bin/a 'b", "not closed"),
        ("WorkingDirectory=~\nExecStart=/bin/a", "home"),
    ] {
        let reason = argv(service).unwrap_err();
        assert!(reason.contains(says), "{service}: {reason}");
    }
}

#[test]
fn what_systemctl_cat_prints_is_one_file() {
    let text = "# /usr/lib/systemd/system/backup@.timer\n[Unit]\nDescription=x\n[Timer]\nOnCalendar=daily\nUnit=backup@shop.service\n\n\
                # /usr/lib/systemd/system/backup@.service\n[Service]\nExecStart=/bin/backup %i\n\n\
                # /etc/systemd/system/backup@.timer.d/override.conf\n[Timer]\nOnCalendar=\nOnCalendar=weekly\n\
                # /usr/lib/systemd/system/lonely.timer\n[Timer]\nOnCalendar=daily\n";
    let entries = read(&[("-", text)]).entries;
    assert_eq!(entries.len(), 2);
    let reason = entries[1].job.as_ref().unwrap_err();
    assert!(reason.contains("lonely.service"), "{reason}");
    let job = entries[0].job.as_ref().unwrap();
    assert_eq!(job.schedule["cron"], "0 0 * * MON");
    assert_eq!(job.payload, json!({"argv": ["/bin/backup", "shop"]}));
    let remarks = read(&[("a", "")]).remarks;
    assert!(remarks.iter().any(|remark| remark.contains("no timer")), "{remarks:?}");
}

#[test]
fn durations_are_systemds() {
    for (text, seconds) in [
        ("90", Some(90.0)),
        ("1h 30min", Some(5400.0)),
        ("1h30m", Some(5400.0)),
        ("2d", Some(172_800.0)),
        ("500ms", Some(0.5)),
        ("infinity", None),
        ("", None),
        ("h", None),
    ] {
        assert_eq!(duration(text), seconds, "{text}");
    }
}
