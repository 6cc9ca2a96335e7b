//! Reads unit files: sections of `Name=value`, with drop-ins that add to them.

use std::collections::BTreeMap;

/// Units by their names.
#[derive(Default)]
pub(super) struct Units(BTreeMap<String, Unit>);

/// A unit with its drop-ins.
#[derive(Default)]
pub(super) struct Unit {
    pub(super) name: String,
    /// Section, name and value, in order. An empty value resets those before it.
    settings: Vec<(String, String, String)>,
}

impl Units {
    /// Reads files. One can have several units: `systemctl cat` prints `# PATH` before each.
    pub(super) fn read<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Units {
        let mut units = Units::default();
        for (path, text) in files {
            units.read_file(path, text);
        }
        units
    }

    fn read_file(&mut self, path: &str, text: &str) {
        let mut name = unit_of(path);
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix(['#', ';']) {
                let path = comment.trim();
                if path.starts_with('/') && !path.contains(char::is_whitespace) && is_unit(path) {
                    (name, section) = (unit_of(path), String::new());
                }
                continue;
            }
            if let Some(named) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = named.to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let mut value = value.trim().to_owned();
            // A backslash at the end continues the line; comments in between are skipped.
            while let Some(start) = value.strip_suffix('\\') {
                value = format!("{} ", start.trim_end());
                let is_comment = |line: &&str| line.trim_start().starts_with(['#', ';']);
                match lines.by_ref().find(|line| !is_comment(line)) {
                    Some(more) => value += more.trim(),
                    None => break,
                }
            }
            let unit = self.0.entry(name.clone()).or_default();
            unit.name.clone_from(&name);
            unit.settings.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = &Unit> {
        self.0.values().filter(|unit| unit.name.ends_with(".timer") || unit.has("Timer"))
    }

    /// The unit of this name; for an instance such as `a@b.service` also its template.
    pub(super) fn find(&self, name: &str) -> Option<&Unit> {
        let template = || {
            let (prefix, rest) = name.split_once('@')?;
            let (_, suffix) = rest.rsplit_once('.')?;
            self.0.get(&format!("{prefix}@.{suffix}"))
        };
        self.0.get(name).or_else(template)
    }
}

impl Unit {
    fn has(&self, section: &str) -> bool {
        self.settings.iter().any(|(within, ..)| within == section)
    }

    /// The values of a setting that may be given several times.
    pub(super) fn all(&self, section: &str, name: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, _, value) in self.of(section, name) {
            match value.as_str() {
                "" => values.clear(),
                value => values.push(value),
            }
        }
        values
    }

    /// The last value of a setting; none if it is empty.
    pub(super) fn last(&self, section: &str, name: &str) -> Option<&str> {
        self.all(section, name).pop()
    }

    /// The names of a section's settings, each once.
    pub(super) fn names<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        let mut names: Vec<&str> = self
            .settings
            .iter()
            .filter(move |(within, ..)| within == section)
            .map(|(_, name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// A section as text.
    pub(super) fn shown(&self, section: &str) -> String {
        let settings = self.settings.iter().filter(|(within, ..)| within == section);
        settings.map(|(_, name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn of<'a>(
        &'a self,
        section: &str,
        name: &str,
    ) -> impl Iterator<Item = &'a (String, String, String)> {
        self.settings.iter().filter(move |(within, known, _)| within == section && known == name)
    }
}

fn is_unit(path: &str) -> bool {
    path.ends_with(".timer") || path.ends_with(".service") || path.ends_with(".conf")
}

/// The unit that a file belongs to. Drop-ins are in a folder `NAME.d`.
fn unit_of(path: &str) -> String {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let folder = parts.next().and_then(|folder| folder.strip_suffix(".d"));
    folder.filter(|_| file.ends_with(".conf")).unwrap_or(file).to_owned()
}
