//! Names for commands, which have none: what they run, and with what.

use serde_json::Value;

/// The longest name, in characters.
const CHARS_MAX: usize = 60;
/// How many arguments are part of a name.
const ARGUMENTS_MAX: usize = 4;
/// Commands within commands that are looked into.
const DEPTH_MAX: usize = 4;
/// What only prepares a line's main command, or tests whether it is to run.
const PREPARATIONS: [&str; 27] = [
    "cd", "test", "[", "[[", "sleep", "export", "source", ".", "set", "umask", "ulimit", "if",
    "then", "else", "while", "for", "do", "done", "fi", "true", ":", "echo", "date", "mkdir",
    "pgrep", "exit", "!",
];
/// What runs its arguments as a command, with the flags that have a value, and how many words come
/// before the command.
const WRAPPERS: [(&str, &[&str], usize); 23] = [
    ("sudo", &["-u", "-g", "-h", "-p", "-C", "-D"], 0),
    ("doas", &["-u", "-C"], 0),
    ("nice", &["-n"], 0),
    ("ionice", &["-c", "-n", "-p"], 0),
    ("chrt", &["-T", "-P", "-D"], 1),
    ("flock", &["-w", "-E", "--timeout", "--wait"], 1),
    ("lockf", &["-t"], 1),
    ("setlock", &[], 1),
    ("timeout", &["-k", "-s", "--kill-after", "--signal"], 1),
    ("env", &["-u", "-C"], 0),
    ("nohup", &[], 0),
    ("time", &["-f", "-o"], 0),
    ("exec", &[], 0),
    ("command", &[], 0),
    ("setsid", &[], 0),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("chronic", &[], 0),
    ("cronic", &[], 0),
    ("run-one", &[], 0),
    ("systemd-cat", &["-t", "-p"], 0),
    ("xvfb-run", &["-n", "-s", "-e"], 0),
    ("chpst", &["-u", "-U", "-e"], 0),
    ("gosu", &[], 1),
];
/// What runs the script that is its first argument, with the flags that have a value.
const INTERPRETERS: [(&str, &[&str]); 12] = [
    ("php", &["-d", "-c"]),
    ("python", &["-W", "-X"]),
    ("perl", &["-I"]),
    ("ruby", &["-I", "-r"]),
    ("node", &["-r", "--require"]),
    ("bash", &[]),
    ("sh", &[]),
    ("zsh", &[]),
    ("dash", &[]),
    ("ksh", &[]),
    ("java", &["-cp", "-classpath"]),
    ("Rscript", &[]),
];
/// Endings that say what a script is written in.
const ENDINGS: [&str; 11] =
    [".php", ".py", ".pl", ".rb", ".sh", ".bash", ".js", ".mjs", ".jar", ".phar", ".R"];
/// Parts of the names of options whose values are secret.
const SECRET: [&str; 7] = ["pass", "pw", "token", "key", "secret", "auth", "cred"];

/// A name for a command: its program or script, and its first arguments. Values of options are left out,
/// since they may be secret. Empty if the command has no words.
pub(super) fn of_command(command: &str) -> String {
    let Some(found) = main(command, DEPTH_MAX) else { return String::new() };
    let mut name = found.program;
    for argument in found.arguments {
        let longer = format!("{name}-{argument}");
        if longer.chars().count() > CHARS_MAX {
            break;
        }
        name = longer;
    }
    name.chars().take(CHARS_MAX).collect()
}

/// The program or script that a payload of the type `command` runs; none for other payloads.
pub(super) fn subject(payload: &Value) -> Option<String> {
    let argv: Option<Vec<&str>> =
        payload.get("argv")?.as_array()?.iter().map(Value::as_str).collect();
    let argv = argv?;
    let command = match argv[..] {
        [.., shell, "-c", command] if shell.starts_with('/') => command.to_owned(),
        _ => argv.join(" "),
    };
    main(&command, DEPTH_MAX).map(|found| found.program)
}

/// Lower case, with `-` between words.
pub(super) fn slug(text: &str) -> String {
    let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

struct Main {
    program: String,
    arguments: Vec<String>,
}

/// The main command of a line: the first one that is no preparation.
fn main(command: &str, depth: usize) -> Option<Main> {
    let segments = segments(command);
    let mut first = None;
    for words in &segments {
        let Some(found) = of_words(words, depth) else { continue };
        if !PREPARATIONS.contains(&found.program.as_str()) && !found.program.is_empty() {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first.filter(|found| !found.program.is_empty())
}

fn of_words(words: &[String], depth: usize) -> Option<Main> {
    let mut words = words;
    loop {
        let (first, rest) = words.split_first()?;
        let program = base(first);
        let wrapper = WRAPPERS.iter().find(|(name, ..)| *name == program);
        if is_assignment(first)
            || first == "!"
            || (first == "then" || first == "do" || first == "if")
        {
            words = rest;
        } else if let Some((_, valued, before)) = wrapper {
            let rest = without_options(rest, valued);
            // `flock FILE -c '…'`
            let rest = rest.get(*before..).unwrap_or_default();
            match rest {
                [flag, command, ..] if flag == "-c" => return main(command, depth.checked_sub(1)?),
                [] => return Some(named(program, &[])),
                _ => words = rest,
            }
        } else {
            return Some(of_program(program, rest, depth));
        }
    }
}

fn of_program(program: &str, rest: &[String], depth: usize) -> Main {
    let unversioned = program.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    let interpreter = INTERPRETERS.iter().find(|(name, _)| *name == unversioned);
    let Some((_, valued)) = interpreter.filter(|_| !rest.is_empty()) else {
        return match (program, rest) {
            ("su", _) => within(rest, depth).unwrap_or_else(|| named(program, rest)),
            _ => named(program, rest),
        };
    };
    if let Some(found) = within(rest, depth) {
        return found;
    }
    if let Some(at) = rest.iter().position(|word| word == "-m" || word == "-jar")
        && rest[..at].iter().all(|word| word.starts_with('-'))
        && let Some((module, arguments)) = rest[at + 1..].split_first()
    {
        return named(base(module), arguments);
    }
    match without_options(rest, valued).split_first() {
        Some((script, arguments)) => named(base(script), arguments),
        None => named(program, rest),
    }
}

/// The command of `-c COMMAND`.
fn within(words: &[String], depth: usize) -> Option<Main> {
    let is_command = |word: &String| {
        word.starts_with('-') && !word.starts_with("--") && word.ends_with('c') && word.len() <= 4
    };
    let at = words.iter().position(is_command)?;
    main(words.get(at + 1)?, depth.checked_sub(1)?)
}

fn named(program: &str, words: &[String]) -> Main {
    let stem = ENDINGS.iter().find_map(|ending| program.strip_suffix(ending)).unwrap_or(program);
    let stem = if stem.is_empty() { program } else { stem };
    let mut arguments = Vec::new();
    let mut is_value = false;
    for word in words {
        let argument = if let Some(option) = word.strip_prefix('-') {
            let (option, value) = option.split_once('=').unwrap_or((option, ""));
            is_value = value.is_empty();
            let is_long = option.starts_with('-');
            let is_secret = SECRET.iter().any(|part| option.to_lowercase().contains(part));
            let value = if is_secret { "" } else { value };
            if is_long { slug(&format!("{option} {}", plain(value))) } else { String::new() }
        } else {
            // It may be the value of the option before it, and secret unless it is a path.
            let is_value = std::mem::take(&mut is_value);
            if is_value && !word.starts_with('/') { String::new() } else { slug(plain(word)) }
        };
        if !argument.is_empty() {
            arguments.push(argument);
        }
        if arguments.len() == ARGUMENTS_MAX {
            break;
        }
    }
    Main { program: slug(stem), arguments }
}

/// A word that can be part of a name; empty if it is long, computed, or like a secret.
fn plain(word: &str) -> &str {
    let word = word.split(['?', '#']).next().unwrap_or_default();
    let word =
        word.split_once("://").map_or(word, |(_, rest)| rest.rsplit('@').next().unwrap_or(rest));
    let word = if word.starts_with(['/', '~', '.']) { base(word) } else { word };
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_plain = word.chars().all(|char| char.is_alphanumeric() || "_-.:/+,".contains(char));
    if is_plain && word.chars().count() <= 40 && digits <= 8 { word } else { "" }
}

fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn without_options<'a>(mut words: &'a [String], valued: &[&str]) -> &'a [String] {
    while let [first, rest @ ..] = words
        && first.starts_with('-')
        && (first != "-c" || valued.contains(&"-c"))
    {
        let skipped = usize::from(valued.contains(&first.as_str())).min(rest.len());
        words = &rest[skipped..];
    }
    words
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    })
}

/// The words of each simple command, without quotes and redirections.
fn segments(command: &str) -> Vec<Vec<String>> {
    let mut segments = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut is_redirected = false;
    let mut chars = command.chars().peekable();
    let end =
        |word: &mut Option<String>, is_redirected: &mut bool, segments: &mut Vec<Vec<String>>| {
            if let Some(word) = word.take()
                && !std::mem::take(is_redirected)
                && let Some(words) = segments.last_mut()
            {
                words.push(word);
            }
        };
    while let Some(char) = chars.next() {
        match char {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(within) = chars.next().filter(|next| *next != char) {
                    let escaped = (char == '"' && within == '\\').then(|| chars.next()).flatten();
                    word.push(escaped.unwrap_or(within));
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '>' | '<' => {
                // A number before it is a descriptor.
                word = word.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
                end(&mut word, &mut is_redirected, &mut segments);
                while chars.next_if(|next| ['>', '<', '&', '|'].contains(next)).is_some() {}
                is_redirected = true;
            }
            '&' | '|' | ';' | '(' | ')' | '\n' => {
                let is_redirection = char == '&' && chars.peek() == Some(&'>');
                end(&mut word, &mut is_redirected, &mut segments);
                is_redirected = false;
                if !is_redirection && segments.last().is_some_and(|words| !words.is_empty()) {
                    segments.push(Vec::new());
                }
            }
            '{' | '}' if word.is_none() => {}
            char if char.is_whitespace() => end(&mut word, &mut is_redirected, &mut segments),
            char => word.get_or_insert_default().push(char),
        }
    }
    end(&mut word, &mut is_redirected, &mut segments);
    segments
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_is_named_after_what_it_runs_and_with_what() {
        for (command, name) in [
            (
                "/usr/bin/php /srv/www/cron.php --store=3 reindex >/dev/null 2>&1",
                "cron-store-3-reindex",
            ),
            ("php artisan schedule:run >> /dev/null 2>&1", "artisan-schedule-run"),
            ("cd /srv/app && /usr/bin/python3.11 -u manage.py send_mail", "manage-send-mail"),
            ("python -m shop.jobs.nightly --all", "shop-jobs-nightly-all"),
            ("flock -n /tmp/a.lock -c '/opt/sync.sh fast'", "sync-fast"),
            (
                "/usr/bin/flock -w 10 /tmp/a.lock nice -n 19 ionice -c 3 /opt/backup.sh wiki",
                "backup-wiki",
            ),
            ("bash -lc 'cd /srv && bundle exec rake nightly'", "bundle-exec-rake-nightly"),
            ("if [ -x /usr/bin/a ]; then /usr/bin/a run; fi", "a-run"),
            ("[ -x /usr/lib/php/clean ] && /usr/lib/php/clean", "clean"),
            ("sleep 30; /opt/poll", "poll"),
            (
                "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
                "run-parts-report-cron-daily",
            ),
            ("curl -fsS https://user:pw@example.org/cron/run?key=abc >/dev/null", "curl"),
            ("wget https://example.org/cron/run?key=abc -O -", "wget-example-org-cron-run"),
            (
                "mysqldump -u root --password=hunter2 -phunter2 --token hunter2 shop",
                "mysqldump-password-token-shop",
            ),
            ("A=1 B=2 sudo -u www-data /opt/x", "x"),
            ("sudo -u postgres -- /opt/x y", "x-y"),
            ("date", "date"),
            ("/bin/true", "true"),
            ("java -Xmx1g -jar /opt/report.jar daily", "report-daily"),
            ("/opt/report \"for a b\" 2>/dev/null", "report"),
            ("/opt/a 5f2c9e8812a04b7f90ab12cd", "a"),
            ("%", ""),
            ("", ""),
            ("> /tmp/x", ""),
            ("'unfinished", "unfinished"),
        ] {
            assert_eq!(of_command(command), name, "{command}");
        }
        let long = format!("/opt/{}", "x".repeat(500));
        assert_eq!(of_command(&long).chars().count(), CHARS_MAX);
        assert_eq!(of_command(&"sh -c '".repeat(2000)).chars().count().min(1), 1);
    }

    #[test]
    fn payloads_have_the_subject_of_their_command() {
        for (payload, subject) in [
            (
                json!({"argv": ["/usr/bin/env", "A=b", "/bin/sh", "-c", "cd /srv && ./poll a"]}),
                Some("poll"),
            ),
            (json!({"argv": ["/usr/bin/php", "/srv/a.php", "x"]}), Some("a")),
            (json!({"argv": [1]}), None),
            (json!({"args": []}), None),
            (json!([]), None),
        ] {
            assert_eq!(super::subject(&payload).as_deref(), subject, "{payload}");
        }
    }
}
