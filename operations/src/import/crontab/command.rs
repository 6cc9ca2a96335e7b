//! The command of a crontab's line.

use super::Cron;
use super::settings::Settings;

/// The punctuation of commands that can run without a shell.
const PLAIN: &str = "_-./:,@+=";
/// Variables that cron sets to the user's name.
const USER_NAMES: [&str; 2] = ["LOGNAME", "USER"];

/// A command, and what cron writes to its standard input.
pub(super) struct Command {
    pub(super) text: String,
    pub(super) input: Option<String>,
}

impl Command {
    /// Divides a line's command: the first `%` ends it, the others are ends of lines of its input, as is the
    /// end, and `\%` is a plain one.
    pub(super) fn read(text: &str, has_input: bool, cron: Cron) -> Command {
        if !has_input {
            let is_unescaped = cron == Cron::SystemdCron;
            let text = if is_unescaped { text.replace("\\%", "%") } else { text.to_owned() };
            return Command { text, input: None };
        }
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.next_if_eq(&'%').is_some() => push(&mut parts, '%'),
                '%' => parts.push(String::new()),
                char => push(&mut parts, char),
            }
        }
        let input = (parts.len() > 1).then(|| parts[1..].join("\n") + "\n");
        Command { text: parts.swap_remove(0), input }
    }

    /// The program and its arguments that do what cron does.
    pub(super) fn argv(
        &self,
        settings: &Settings<'_>,
        user: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, String> {
        let home = settings.home();
        if home.is_none()
            && let Some(part) = of_home(&self.text)
        {
            return Err(format!(
                "`{part}` depends on its user's home directory, where cron starts it: say which that is (--home)"
            ));
        }
        let mut variables: Vec<(&str, &str)> = settings.environment().collect();
        variables.extend(home.map(|home| ("HOME", home)));
        self.name_user(&mut variables, user)?;
        if let [(name, _), rest @ ..] = &variables[..] {
            notes.push(format!(
                "/usr/bin/env sets {name}{}, which whoever lists processes can see",
                if rest.is_empty() { "" } else { " and what else the file sets" }
            ));
        }
        let mut argv = Vec::new();
        if !variables.is_empty() {
            argv.push("/usr/bin/env".to_owned());
            argv.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
        }
        let shell = settings.get("SHELL").unwrap_or("/bin/sh");
        let reason = match home {
            Some(home) => Some(format!("which starts it in {home}")),
            None => needs_shell(&self.text),
        };
        match reason {
            Some(reason) => {
                notes.push(format!("it goes through {shell}, {reason}"));
                let start = if home.is_some() { "cd \"$HOME\" || exit\n" } else { "" };
                argv.extend([shell.to_owned(), "-c".to_owned(), format!("{start}{}", self.text)]);
            }
            None => argv.extend(self.text.split_whitespace().map(str::to_owned)),
        }
        Ok(argv)
    }

    /// Adds the variables with the user's name, if the command uses them.
    fn name_user<'a>(
        &self,
        variables: &mut Vec<(&'a str, &'a str)>,
        user: Option<&'a str>,
    ) -> Result<(), String> {
        for name in USER_NAMES {
            let is_set = variables.iter().any(|(known, _)| *known == name);
            if is_set || !uses(&self.text, name) {
                continue;
            }
            let user = user.ok_or_else(|| {
                format!("it uses ${name}, which cron sets to its user: write the name itself")
            })?;
            variables.push((name, user));
        }
        Ok(())
    }
}

fn push(parts: &mut [String], char: char) {
    if let Some(last) = parts.last_mut() {
        last.push(char);
    }
}

/// Whether a command has `$NAME` or `${NAME`.
fn uses(command: &str, name: &str) -> bool {
    command.match_indices('$').any(|(at, _)| {
        let rest = command[at + 1..].trim_start_matches('{');
        let rest = rest.strip_prefix(name);
        rest.is_some_and(|rest| {
            !rest.starts_with(|char: char| char.is_alphanumeric() || char == '_')
        })
    })
}

/// The first part of a command that depends on the directory in which cron starts it.
fn of_home(command: &str) -> Option<&str> {
    if uses(command, "HOME") {
        return Some("$HOME");
    }
    let mut words =
        command.split(|char: char| char.is_whitespace() || "=:\"'(;&|<>".contains(char));
    if let Some(word) = words.find(|word| *word == "~" || word.starts_with("~/")) {
        return Some(word);
    }
    let mut words = command.split_whitespace();
    let first = words.next()?;
    let is_relative = |path: &str| {
        !path.starts_with(['/', '$', '"', '\'', '~', '(', '{', '`']) && !path.contains('=')
    };
    match first {
        "cd" => words.next().filter(|folder| is_relative(folder) && *folder != "-"),
        first if first.contains('/') && is_relative(first) => Some(first),
        _ => None,
    }
}

/// Why a command needs a shell, if it does.
fn needs_shell(command: &str) -> Option<String> {
    let program = command.split_whitespace().next().unwrap_or_default();
    let special = |char: &char| !char.is_alphanumeric() && !PLAIN.contains(*char) && *char != ' ';
    if let Some(char) = command.chars().find(special) {
        return Some(format!("since it has `{}`", char.escape_debug()));
    }
    if program.contains('=') {
        return Some("since it sets a variable".to_owned());
    }
    (!program.starts_with('/')).then(|| format!("which must look for `{program}`"))
}
