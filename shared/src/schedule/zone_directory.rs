//! Reads the time zone rules in a directory: the machine's zoneinfo, or one of an operator's. It may be
//! incomplete, damaged or hostile, so everything is bounded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::zone::Zone;
use super::zone_rules::{ZoneRules, is_name};

/// The most entries that are looked at; a full zoneinfo has about 1900.
const ENTRIES_MAX: usize = 5000;
/// How many folders a zone's name may have.
const DEPTH_MAX: usize = 3;
/// The largest zone file, in bytes; the IANA's have at most 4 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The most bytes of all zone files together.
const ALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What zoneinfo contains besides the zones: copies with and without leap seconds, and this machine's
/// zone.
const NOT_ZONES: [&str; 4] = ["posix", "right", "posixrules", "localtime"];

/// Why a directory's rules cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// A file is no valid zone.
    #[error("the file of {zone} is invalid: {reason}")]
    Invalid {
        /// The zone.
        zone: String,
        /// The reason.
        reason: String,
    },
    /// It has more than there can be.
    #[error("{0}")]
    TooLarge(String),
    /// It has no zone at all.
    #[error(
        "{0} has no time zone files (TZif); name a directory such as /usr/share/zoneinfo, or one \
         that `zic -d` has written"
    )]
    Empty(String),
}

/// The zones in a directory.
#[derive(Debug)]
pub struct ZoneDirectory {
    /// The release of the time zone database that it claims, if it does.
    version: Option<String>,
    source: String,
    files: BTreeMap<Box<str>, Vec<u8>>,
    /// Links that lead out of the directory, which are not followed.
    ignored: Vec<String>,
}

impl ZoneDirectory {
    /// Reads a directory with the layout of zoneinfo.
    ///
    /// # Errors
    /// If it cannot be read, a file is invalid, or it has more than a time zone database can have.
    pub fn read(path: &Path) -> Result<ZoneDirectory, DirectoryError> {
        let unreadable = |error| DirectoryError::Unreadable { path: path.to_owned(), error };
        let root = path.canonicalize().map_err(unreadable)?;
        let mut reader =
            Reader { root, entries: 0, bytes: 0, found: BTreeMap::new(), ignored: vec![] };
        reader.folder(&reader.root.clone(), "", 0)?;
        let Reader { root, found: files, ignored, .. } = reader;
        let source = root.display().to_string();
        if files.is_empty() {
            return Err(DirectoryError::Empty(source));
        }
        for (zone, tzif) in &files {
            check(zone, tzif).map_err(|reason| {
                let zone = zone.to_string();
                DirectoryError::Invalid { zone, reason }
            })?;
        }
        Ok(ZoneDirectory { version: version(&root), source, files, ignored })
    }

    /// The release that it claims to be, such as `2026f`.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Links that lead out of the directory, and were not followed.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Its rules, completed by those in use. A distribution may leave out former names, such as
    /// `US/Pacific`, and an operator's directory may have only the zones that changed; jobs must not
    /// lose theirs. A missing name follows the zone of the directory that it was a link to. Also
    /// returns the names of zones that stay as they are.
    pub fn complete(self, in_use: &ZoneRules) -> (ZoneRules, Vec<String>) {
        let mut by_content: BTreeMap<&[u8], &str> = BTreeMap::new();
        for name in in_use.names().filter(|name| self.files.contains_key(*name)) {
            if let Some(file) = in_use.file(name) {
                by_content.entry(file).or_insert(name);
            }
        }
        let mut kept = Vec::new();
        let mut files = BTreeMap::new();
        for name in in_use.names().filter(|name| !self.files.contains_key(*name)) {
            let Some(file) = in_use.file(name) else { continue };
            match by_content.get(file).and_then(|linked| self.files.get(*linked)) {
                Some(linked) => files.insert(Box::from(name), Cow::Owned(linked.clone())),
                None => {
                    kept.push(name.to_owned());
                    files.insert(Box::from(name), Cow::Owned(file.to_vec()))
                }
            };
        }
        files.extend(self.files.into_iter().map(|(name, file)| (name, Cow::Owned(file))));
        let version = self.version.as_deref().unwrap_or("unknown");
        (ZoneRules::of(version, &self.source, files.into_iter()), kept)
    }
}

struct Reader {
    root: PathBuf,
    entries: usize,
    bytes: usize,
    found: BTreeMap<Box<str>, Vec<u8>>,
    ignored: Vec<String>,
}

impl Reader {
    /// Reads a folder; `prefix` is the part of its zones' names.
    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), DirectoryError> {
        let unreadable = |error| DirectoryError::Unreadable { path: path.to_owned(), error };
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                let text = format!("it has more than {ENTRIES_MAX} files: is it a zoneinfo?");
                return Err(DirectoryError::TooLarge(text));
            }
            let Ok(last) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}{last}");
            if !is_name(&name) || NOT_ZONES.contains(&&*name) {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                if depth + 1 < DEPTH_MAX {
                    self.folder(&entry.path(), &format!("{name}/"), depth + 1)?;
                }
            } else {
                self.file(&entry.path(), name, kind.is_symlink())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String, is_link: bool) -> Result<(), DirectoryError> {
        let unreadable = |error| DirectoryError::Unreadable { path: path.to_owned(), error };
        // zoneinfo links names to other names; a link elsewhere could show any file of the machine.
        let path = match path.canonicalize() {
            Ok(target) if target.starts_with(&self.root) => target,
            Err(error) if !is_link => return Err(unreadable(error)),
            Ok(_) | Err(_) => {
                self.ignored.push(name);
                return Ok(());
            }
        };
        // A pipe or a device is never opened.
        if !fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Ok(());
        }
        let mut tzif = Vec::new();
        let file = File::open(&path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut tzif).map_err(unreadable)?;
        if !tzif.starts_with(b"TZif") {
            return Ok(()); // a table of zones, for example
        }
        if tzif.len() as u64 > FILE_BYTES_MAX {
            let reason = format!("it has more than {FILE_BYTES_MAX} bytes");
            return Err(DirectoryError::Invalid { zone: name, reason });
        }
        self.bytes += tzif.len();
        if self.bytes > ALL_BYTES_MAX {
            let text = format!("its zone files have more than {ALL_BYTES_MAX} bytes");
            return Err(DirectoryError::TooLarge(text));
        }
        self.found.insert(name.into(), tzif);
        Ok(())
    }
}

/// Checks that a file is a zone that schedules can use.
fn check(zone: &str, tzif: &[u8]) -> Result<(), String> {
    if counts_leap_seconds(tzif) {
        return Err(
            "it counts leap seconds, which schedules do not; use zoneinfo, not `right`".into()
        );
    }
    Zone::read(zone, tzif).map(drop)
}

/// Whether a header of the file announces leap seconds (RFC 9636, section 3.1).
fn counts_leap_seconds(tzif: &[u8]) -> bool {
    const HEADER: usize = 44;
    let counts = |header: &[u8]| -> Option<[u64; 6]> {
        let mut counts = [0; 6];
        for (count, bytes) in counts.iter_mut().zip(header.get(20..HEADER)?.chunks_exact(4)) {
            *count = u32::from_be_bytes(bytes.try_into().ok()?).into();
        }
        Some(counts)
    };
    let Some(first @ [isutc, isstd, leap, times, types, chars]) = counts(tzif) else {
        return false;
    };
    let block = times * 5 + types * 6 + chars + leap * 8 + isstd + isutc;
    let second = usize::try_from(block).ok().and_then(|block| tzif.get(HEADER + block..));
    let second = second.filter(|rest| rest.starts_with(b"TZif")).and_then(counts);
    [Some(first), second].into_iter().flatten().any(|[_, _, leap, ..]| leap > 0)
}

/// The release: the first line of `tzdata.zi`, or the file `+VERSION` of BSD and macOS.
fn version(root: &Path) -> Option<String> {
    let line = |name: &str| {
        let path = root.join(name);
        fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let mut text = String::new();
        File::open(path).ok()?.take(100).read_to_string(&mut text).ok()?;
        Some(text.lines().next()?.trim().to_owned())
    };
    let zi = line("tzdata.zi").and_then(|line| Some(line.strip_prefix("# version ")?.to_owned()));
    let version = zi.or_else(|| line("+VERSION"))?;
    let is_release = version.len() <= 20
        && version.starts_with(|char: char| char.is_ascii_digit())
        && version.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char));
    is_release.then_some(version)
}

#[cfg(test)]
mod tests;
