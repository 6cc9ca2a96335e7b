use super::*;
use crate::import::Import;

fn read(text: &str, format: Format, timezone: Option<&str>) -> Import {
    let home = None;
    Reader { format, cron: Cron::Unknown, timezone, home }.read(&Text::plain(text))
}

fn read_for(cron: Cron, text: &str) -> Import {
    let format = Format::Recognised;
    Reader { format, cron, timezone: Some("Europe/Paris"), home: None }.read(&Text::plain(text))
}

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
        "/bin/a $PWD",
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
                json!({"argv": ["/usr/bin/env", "GREETING=a  b", "PATH=/bin", "/bin/c"]})
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
        [
            "run-parts-report-cron-hourly",
            "back-up-the-shop-s-database",
            "backup-blog",
            "backup-wiki",
            "x",
            "command"
        ]
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
        ("0 5 * * * -n -x /usr/bin/a", Format::User, "not a flag of BSD's cron"),
        ("@monthly 45 cron.monthly", Format::User, "anacrontab"),
        ("0 0 2 * * 1 /bin/a", Format::User, "six or seven fields"),
        ("0 0 2 * * MON-FRI /bin/a", Format::User, "six or seven fields"),
        ("0 0 2 * * 1 root /bin/a", Format::System, "six or seven fields"),
        ("0 0 12 ? * 2-6 /bin/a", Format::User, "for Quartz"),
        ("0 5 * * * deploy /usr/bin/python /srv/a.py", Format::Recognised, "--system or --user"),
    ] {
        let entry = read(line, format, None).entries.remove(0);
        let reason = entry.job.expect_err(line);
        assert!(reason.contains(says), "{line}: {reason}");
    }
    for (line, format) in [
        ("0 5 * * * deploy /usr/bin/python /srv/a.py", Format::User),
        ("0 5 * * * deploy now", Format::Recognised),
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

#[test]
fn the_columns_of_a_file_are_recognised() {
    let users = |text: &str| -> Vec<Result<bool, String>> {
        let entries = read(text, Format::Recognised, None).entries.into_iter();
        let of_user =
            |entry: &Entry| entry.notes.iter().any(|note| note.starts_with("cron ran it as"));
        entries
            .map(|entry| entry.job.as_ref().map(|_| of_user(&entry)).map_err(Clone::clone))
            .collect()
    };
    let system =
        "17 * * * * root cd / && run-parts /etc/cron.hourly\n0 5 * * * deploy /srv/app/nightly\n";
    assert_eq!(users(system), [Ok(true), Ok(true)]);
    let headed = "# m h dom mon dow user\tcommand\n0 5 * * * deploy /srv/app/nightly\n";
    assert_eq!(users(headed), [Ok(true)]);
    assert_eq!(users("0 5 * * * /srv/a\n0 6 * * * mybackup /srv/b\n"), [Ok(false), Ok(false)]);
    // A line that does not fit the others is refused.
    let mixed = users("0 5 * * * /srv/a\n0 6 * * * root /srv/b\n");
    assert!(mixed[0] == Ok(false) && mixed[1].is_err(), "{mixed:?}");
    assert_eq!(Format::of_path("/etc/cron.d/shop"), Format::System);
    assert_eq!(Format::of_path("/etc/crontab"), Format::System);
    assert_eq!(Format::of_path("crontab"), Format::Recognised);
}

#[test]
fn every_cron_has_its_own_time_zone() {
    for (cron, text, zone) in [
        (Cron::Unknown, "CRON_TZ=Asia/Tokyo\n", "Asia/Tokyo"),
        (Cron::Cronie, "CRON_TZ=Asia/Tokyo\n", "Asia/Tokyo"),
        (Cron::Netbsd, "CRON_TZ=Asia/Tokyo\n", "Asia/Tokyo"),
        (Cron::Debian, "CRON_TZ=Asia/Tokyo\n", "Europe/Paris"),
        (Cron::Freebsd, "CRON_TZ=Asia/Tokyo\n", "Europe/Paris"),
        (Cron::Busybox, "CRON_TZ=Asia/Tokyo\n", "Europe/Paris"),
        (Cron::Cronie, "TZ=Asia/Tokyo\n", "Europe/Paris"),
        (Cron::Debian, "TZ=Asia/Tokyo\n", "Europe/Paris"),
        (Cron::SystemdCron, "TZ=Asia/Tokyo\n", "Asia/Tokyo"),
        (Cron::SystemdCron, "TZ=UTC\nCRON_TZ=Asia/Tokyo\n", "Asia/Tokyo"),
        (Cron::SystemdCron, "TZ=Asia/Tokyo\nTZ=\n", "Europe/Paris"),
    ] {
        let entry = read_for(cron, &format!("{text}0 5 * * * /bin/a\n")).entries.remove(0);
        assert_eq!(entry.job.unwrap().schedule["timezone"], zone, "{cron:?} {text}");
        let is_noted = entry.notes.iter().any(|note| note.contains("handed to the command only"));
        assert_eq!(is_noted, zone == "Europe/Paris" && !text.ends_with("TZ=\n"), "{cron:?} {text}");
    }
}

#[test]
fn what_other_crons_add_is_translated() {
    let schedule =
        |cron, line: &str| read_for(cron, line).entries.remove(0).job.map(|job| job.schedule);
    let zone = "Europe/Paris";
    let cron = |expression: &str| Ok(json!({"cron": expression, "timezone": zone}));
    let unknown = Cron::Unknown;
    assert_eq!(schedule(unknown, "@every_minute /bin/a"), cron("* * * * *"));
    assert_eq!(schedule(unknown, "@every_second /bin/a"), cron("* * * * * *"));
    assert_eq!(schedule(unknown, "@quarterly /bin/a"), cron("0 0 1 1,4,7,10 *"));
    assert_eq!(schedule(unknown, "-*/5 * * * * /bin/a"), cron("*/5 * * * *"));
    assert_eq!(schedule(unknown, "-@daily root /bin/a"), cron("@daily"));
    assert_eq!(schedule(unknown, "0 5 * * * -n -q /bin/a"), cron("0 5 * * *"));
    assert_eq!(schedule(unknown, "0 5 * * * -nqs /bin/a"), cron("0 5 * * *"));
    assert_eq!(schedule(unknown, "@every 1h30m /bin/a"), Ok(json!({"every": "1h30m"})));
    assert_eq!(schedule(unknown, "@30 /bin/a"), Ok(json!({"every": "30s"})));
    let supercronic = Cron::Supercronic;
    assert_eq!(schedule(supercronic, "*/5 * * * * * * /bin/a"), cron("*/5 * * * * *"));
    assert_eq!(schedule(supercronic, "0 5 * * ? * /bin/a"), cron("0 5 * * *"));
    let years = schedule(supercronic, "0 0 9 * * * 2096-2097 /bin/a").unwrap();
    assert_eq!(
        (&years["start"], &years["end"]),
        (&json!("2096-01-01T00:00:00"), &json!("2097-12-31T23:59:59"))
    );
    // Either day is enough there, and both must match here.
    assert_eq!(
        schedule(supercronic, "0 0 */2 * 1 /bin/a"),
        Ok(json!({"any": [{"cron": "0 0 */2 * *"}, {"cron": "0 0 * * 1"}], "timezone": zone}))
    );
    assert_eq!(schedule(Cron::Cronie, "0 0 */2 * 1 /bin/a"), cron("0 0 */2 * 1"));
    let years = schedule(supercronic, "0 0 0 */2 * 1 2096 /bin/a").unwrap();
    assert_eq!(years["start"], "2096-01-01T00:00:00");
    assert!(schedule(unknown, "@reboot /bin/a").is_err());
    let delayed = |text: &str| read_for(Cron::Cronie, text).entries.remove(0);
    let entry = delayed("RANDOM_DELAY=45\n0 5 * * * /bin/a");
    assert_eq!(entry.job.unwrap().schedule["jitter"], "45m");
    let entry = delayed("RANDOM_DELAY=45\n*/5 * * * * /bin/a");
    assert!(entry.notes.iter().any(|note| note.contains("left out")), "{:?}", entry.notes);
    assert_eq!(entry.job.unwrap().schedule.get("jitter"), None);
    let job = read_for(Cron::SystemdCron, "PERSISTENT=no\n0 5 * * * /bin/a\\%b%c")
        .entries
        .remove(0)
        .job
        .unwrap();
    assert_eq!(job.misfire_policy, MisfirePolicy::Skip);
    assert_eq!(job.payload["argv"][2], "/bin/a%b%c");
    let job =
        read_for(Cron::Netbsd, "CRON_WITHIN=300\n0 5 * * * /bin/a").entries.remove(0).job.unwrap();
    assert_eq!((job.misfire_policy, job.misfire_grace_seconds), (MisfirePolicy::Skip, 300));
    let busybox = read_for(Cron::Busybox, "PATH=/opt\n0 5 * * * date +%F");
    assert_eq!(
        busybox.entries[0].job.as_ref().unwrap().payload,
        json!({"argv": ["/bin/sh", "-c", "date +%F"]})
    );
    assert!(
        busybox.remarks.iter().any(|remark| remark == "left out, as by busybox: PATH"),
        "{:?}",
        busybox.remarks
    );
}

#[test]
fn an_anacrontab_is_translated() {
    let text = "SHELL=/bin/sh\nRANDOM_DELAY=45\nSTART_HOURS_RANGE=3-22\n\
                #period in days   delay in minutes   job-identifier   command\n\
                1\t5\tcron.daily\t\tnice run-parts /etc/cron.daily\n\
                7\t25\tcron.weekly\t\tnice run-parts /etc/cron.weekly\n\
                @monthly 65 cron.monthly nice run-parts /etc/cron.monthly\n10 1 log /opt/log a%b\n\
                @decade 1 never /opt/never\n";
    let entries = read(text, Format::Recognised, Some("Europe/Paris")).entries;
    let shown: Vec<_> = entries[..4]
        .iter()
        .map(|entry| entry.job.as_ref().unwrap())
        .map(|job| (job.name.as_str(), job.schedule.clone()))
        .collect();
    let (zone, jitter) = ("Europe/Paris", "45m");
    assert_eq!(
        shown,
        [
            ("cron-daily", json!({"cron": "5 3 * * *", "timezone": zone, "jitter": jitter})),
            (
                "cron-weekly",
                json!({"every": "7d", "timezone": zone, "from": "1970-01-04T03:25:00", "jitter": jitter})
            ),
            ("cron-monthly", json!({"cron": "5 4 1 * *", "timezone": zone, "jitter": jitter})),
            (
                "log",
                json!({"every": "10d", "timezone": zone, "from": "1970-01-04T03:01:00", "jitter": jitter})
            ),
        ]
    );
    assert_eq!(entries[3].job.as_ref().unwrap().payload["argv"][2], "/opt/log a%b");
    assert!(entries[4].job.as_ref().unwrap_err().contains("period"));
}

#[test]
fn a_command_starts_in_its_users_home() {
    let with_home = |text: &str, home| {
        let reader = Reader { home, ..Reader::default() };
        reader.read(&Text::plain(text)).entries.remove(0).job.map(|job| job.payload["argv"].clone())
    };
    let argv = json!([
        "/usr/bin/env",
        "HOME=/srv/app",
        "/bin/sh",
        "-c",
        "cd \"$HOME\" || exit\n./poll.sh"
    ]);
    assert_eq!(with_home("HOME=/srv/app\n* * * * * ./poll.sh", None), Ok(argv.clone()));
    assert_eq!(with_home("* * * * * ./poll.sh", Some("/srv/app")), Ok(argv.clone()));
    assert_eq!(with_home("HOME=/srv/app\n* * * * * ./poll.sh", Some("/home/a")), Ok(argv));
    for command in [
        "./poll.sh",
        "bin/poll",
        "/bin/rm -rf $HOME/tmp",
        "/bin/a ${HOME}",
        "/bin/a ~/b",
        "cd app && ./poll",
    ] {
        let refused = with_home(&format!("* * * * * {command}"), None).unwrap_err();
        assert!(refused.contains("--home"), "{command}: {refused}");
    }
    for command in ["cd /srv && ./poll", "/bin/a $HOMEPAGE", "/bin/a a~b", "cd \"$DIR\" && ./a"] {
        assert!(with_home(&format!("* * * * * {command}"), None).is_ok(), "{command}");
    }
    assert!(with_home("* * * * * /bin/a $LOGNAME", None).unwrap_err().contains("LOGNAME"));
    let argv = with_home("* * * * * root /bin/a $LOGNAME", None).unwrap();
    assert_eq!(argv[1], "LOGNAME=root");
}

#[test]
fn a_line_that_is_not_utf_8_is_refused_if_it_is_a_command() {
    let bytes = b"# Pr\xe9paration\n0 5 * * * /bin/a\n0 6 * * * /bin/rm /srv/\xe9\n";
    let import = Reader::default().read(&Text::decode(bytes));
    assert_eq!(import.entries[0].job.as_ref().unwrap().name, "pr\u{e9}paration");
    assert!(import.entries[1].job.as_ref().unwrap_err().contains("iconv"));
    assert!(
        import.remarks.iter().any(|remark| remark.contains("line 1 and another one are not UTF-8"))
    );
}

#[test]
fn an_import_is_bounded() {
    // Each setting is part of the payload of each line below it.
    let settings: String = (0..2000).map(|n| format!("NAME_{n}=value\n")).collect();
    let lines: String = (0..11_000).map(|n| format!("0 5 * * * /bin/a {n}\n")).collect();
    let entries = read(&(settings + &lines), Format::User, None).entries;
    let refused = |says: &str| {
        entries
            .iter()
            .filter(|entry| entry.job.as_ref().is_err_and(|reason| reason.contains(says)))
            .count()
    };
    let bytes =
        entries.iter().flat_map(|entry| &entry.job).map(|job| job.payload.to_string().len());
    assert!(bytes.sum::<usize>() < 32 * 1024 * 1024);
    assert!(refused("MiB") > 8000 && refused("10000 entries") == 1000, "{}", refused("MiB"));
    let one = format!("A={}\n0 5 * * * /bin/a\n", "x".repeat(70_000));
    assert!(read(&one, Format::User, None).entries[0].job.as_ref().unwrap_err().contains("script"));
}
