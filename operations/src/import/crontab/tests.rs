use super::*;
use shared::store::NewJob;

fn jobs(text: &str, format: Format, timezone: Option<&str>) -> Vec<NewJob> {
    read(text, format, timezone).entries.into_iter().map(|entry| entry.job.unwrap()).collect()
}

fn argv(command: &str) -> Vec<String> {
    let job = jobs(&format!("* * * * * {command}"), Format::User, None).remove(0);
    serde_json::from_value(job.payload["argv"].clone()).unwrap()
}

#[test]
fn a_command_runs_without_a_shell_only_where_that_is_the_same() {
    assert_eq!(
        argv("/usr/bin/backup --to=/mnt/a,b  -v"),
        ["/usr/bin/backup", "--to=/mnt/a,b", "-v"]
    );
    for command in [
        "backup -v",
        "/bin/a | /bin/b",
        "/bin/a >/dev/null 2>&1",
        "/bin/a && /bin/b",
        "/bin/a \"b c\"",
        "/bin/a $HOME",
        "/bin/a ~/b",
        "/bin/a *.txt",
        "/bin/a\tb",
        "A=b /bin/a",
    ] {
        assert_eq!(argv(command), ["/bin/sh", "-c", command]);
    }
}

#[test]
fn percent_signs_divide_the_command_from_its_input() {
    let payload =
        |command: &str| jobs(&format!("* * * * * {command}"), Format::User, None).remove(0).payload;
    assert_eq!(
        payload(r"/usr/bin/mail -s 100\% joe%Hello,%%Bye 5\%"),
        json!({"argv": ["/bin/sh", "-c", "/usr/bin/mail -s 100% joe"], "input": "Hello,\n\nBye 5%\n"})
    );
    assert_eq!(payload("/bin/cat%a"), json!({"argv": ["/bin/cat"], "input": "a\n"}));
    assert_eq!(argv(r"/bin/date +\%F"), ["/bin/sh", "-c", "/bin/date +%F"]);
}

#[test]
fn the_programs_that_must_be_allowed_are_listed() {
    let remarks =
        read("@daily a | b\n@daily /opt/x y\n@daily /opt/x z\n", Format::User, None).remarks;
    assert!(remarks[0].contains("start /bin/sh, /opt/x ("), "{remarks:?}");
}

#[test]
fn settings_apply_to_the_lines_below_them() {
    let text = "0 1 * * * /bin/a\nPATH = \"/opt/bin:/bin\"\nSHELL=/bin/bash\nMAILTO=ops@example.org\n\
                CRON_TZ=Asia/Tokyo\n0 2 * * * b\nPATH=/bin\nGREETING='a  b'\nCRON_TZ=\n0 3 * * * /bin/c\n";
    let jobs = jobs(text, Format::User, Some("Europe/Paris"));
    let shown: Vec<_> = jobs
        .iter()
        .map(|job| (job.schedule["timezone"].as_str().unwrap(), job.payload.clone()))
        .collect();
    assert_eq!(
        shown,
        [
            ("Europe/Paris", json!({"argv": ["/bin/a"]})),
            (
                "Asia/Tokyo",
                json!({"argv": ["/usr/bin/env", "PATH=/opt/bin:/bin", "/bin/bash", "-c", "b"]})
            ),
            (
                "Europe/Paris",
                json!({"argv": ["/usr/bin/env", "PATH=/bin", "GREETING=a  b", "/bin/c"]})
            ),
        ]
    );
    let zone = |text, timezone| jobs_zone(text, timezone);
    assert_eq!(zone("TZ=Asia/Tokyo\n@daily /bin/a", None), "UTC");
    assert_eq!(zone("TZ=Asia/Tokyo\n@daily /bin/a", Some("Europe/Paris")), "Europe/Paris");
    assert_eq!(zone("@daily /bin/a", None), "UTC");
    let assumed = |text| {
        read(text, Format::User, None)
            .remarks
            .iter()
            .any(|remark| remark.contains("UTC is assumed"))
    };
    assert!(assumed("@daily /bin/a") && !assumed("CRON_TZ=UTC\n@daily /bin/a"));
}

fn jobs_zone(text: &str, timezone: Option<&str>) -> String {
    jobs(text, Format::User, timezone)[0].schedule["timezone"].as_str().unwrap().to_owned()
}

#[test]
fn names_come_from_the_comment_or_the_program_and_are_unique() {
    let text = "# Edit this file to introduce work\n\n# m h  dom mon dow   command\n\
                17 * * * * cd / && run-parts --report /etc/cron.hourly\n\
                # Back up the shop's database\n0 1 * * * /opt/backup shop\n\
                # 0 2 * * * /opt/old\n0 3 * * * /opt/backup.sh blog\n\
                # Nightly\n\n0 4 * * * /opt/backup.sh wiki\n\
                0 5 * * * A=1 /bin/test -x /opt/x && (/opt/x)\n0 6 * * * %\n";
    let names: Vec<String> =
        jobs(text, Format::User, None).into_iter().map(|job| job.name).collect();
    assert_eq!(
        names,
        ["run-parts", "back-up-the-shop-s-database", "backup-sh", "backup-sh-2", "x", "command"]
    );
}

#[test]
fn a_system_crontab_names_users() {
    let text = "@daily root /bin/a\n*/5 0-6 1 JAN sun\twww-data /bin/b c\n";
    let entries = read(text, Format::System, None).entries;
    assert!(entries[0].notes.iter().any(|note| note.contains("as root")), "{:?}", entries[0].notes);
    let jobs: Vec<NewJob> = entries.into_iter().map(|entry| entry.job.unwrap()).collect();
    assert_eq!(jobs[0].schedule, json!({"cron": "@daily", "timezone": "UTC"}));
    assert_eq!(jobs[1].schedule["cron"], "*/5 0-6 1 JAN sun");
    assert_eq!(jobs[1].payload, json!({"argv": ["/bin/b", "c"]}));
    assert_eq!((jobs[1].job_type.as_str(), jobs[1].max_attempts), ("command", 1));
}

#[test]
fn lines_that_cannot_be_translated_are_refused_one_by_one() {
    let text = "@reboot /bin/a\n61 * * * * /bin/b\n* * * * *\n@daily\n0 5 * *\n0~30 ~ * * * /bin/c\n0 0 30 2 * /bin/d\n";
    let entries = read(text, Format::User, None).entries;
    let reasons: Vec<String> =
        entries.iter().map(|entry| entry.job.clone().err().unwrap_or_default()).collect();
    let says = ["@reboot", "minute 61", "a command", "a command", "5 fields", "", "never matches"];
    assert_eq!(reasons.len(), says.len());
    for (reason, says) in reasons.iter().zip(says) {
        assert!(reason.contains(says) && reason.is_empty() == says.is_empty(), "{reason}: {says}");
    }
    assert_eq!(entries[5].job.as_ref().unwrap().schedule["cron"], "H(0-30) H * * *");
}

#[test]
fn columns_that_would_be_misread_are_refused() {
    for (line, format, says) in [
        ("* * * * * * * echo 1", Format::User, "six or seven fields"),
        ("0 2 * * * * /bin/a", Format::User, "six or seven fields"),
        ("17 * * * * root cd / && run-parts /etc/cron.hourly", Format::User, "say --system"),
        ("0 5 * * * ubuntu /usr/bin/python /srv/a.py", Format::User, "say --system"),
        ("0 5 * * * bash -c a", Format::System, "leave --system out"),
        ("0 5 * * * $VV/bin/a b", Format::System, "leave --system out"),
        ("0 5 * * * /usr/bin/a b", Format::System, "leave --system out"),
        ("0 5 * * * -n -q /usr/bin/a", Format::User, "BSD's cron"),
        ("@monthly 45 cron.monthly run-parts /etc/cron.monthly", Format::User, "anacrontab"),
    ] {
        let entry = read(line, format, None).entries.remove(0);
        let reason = entry.job.expect_err(line);
        assert!(reason.contains(says), "{line}: {reason}");
    }
    for (line, format) in [
        ("0 5 * * * php /srv/a.php", Format::User),
        ("0 5 * * * [ -x /bin/a ] && /bin/a", Format::User),
        ("0 5 * * * root /bin/a", Format::System),
        ("0 5 * * * www-data php /srv/a.php", Format::System),
    ] {
        assert!(read(line, format, None).entries[0].job.is_ok(), "{line}");
    }
}

#[test]
fn a_file_without_entries_or_with_a_byte_order_mark_is_read() {
    for text in ["", "# nothing\nPATH=/bin\n"] {
        let remarks = read(text, Format::User, None).remarks;
        assert!(remarks.iter().any(|remark| remark.contains("no entries")), "{remarks:?}");
    }
    let jobs = jobs("\u{feff}0 5 * * * /bin/a\n", Format::User, None);
    assert_eq!(jobs[0].schedule["cron"], "0 5 * * *");
}
