use std::os::unix::fs::symlink;

use testkit::Folder;

use super::*;

/// The built-in file of a zone.
fn tzif(zone: &str) -> Vec<u8> {
    ZoneRules::built_in().file(zone).unwrap().to_vec()
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new();
    for (name, content) in files {
        let path = folder.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn read(folder: &Folder) -> Result<ZoneDirectory, DirectoryError> {
    ZoneDirectory::read(&folder.path(""))
}

#[test]
fn zones_tables_and_the_version_are_told_apart() {
    let berlin = tzif("Europe/Berlin");
    let folder = directory(&[
        ("Europe/Berlin", &berlin),
        ("America/Indiana/Knox", &berlin),
        ("posix/Europe/Berlin", &berlin),
        ("right/Europe/Berlin", &berlin),
        ("localtime", &berlin),
        ("zone.tab", b"DE\t+5230+01322\tEurope/Berlin"),
        ("leapseconds", b"# TZif"),
        ("tzdata.zi", b"# version 2027a\nR A"),
    ]);
    let read = read(&folder).unwrap();
    assert_eq!(read.version(), Some("2027a"));
    assert!(read.files.keys().map(|name| &**name).eq(["America/Indiana/Knox", "Europe/Berlin"]));
}

#[test]
fn a_directory_without_zones_or_with_a_broken_one_is_refused() {
    let error = |folder: &Folder| read(folder).unwrap_err().to_string();
    assert!(error(&directory(&[("a.txt", b"a")])).contains("no time zone files"));
    let missing = ZoneDirectory::read(Path::new("/nowhere/zoneinfo")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/zoneinfo"), "{missing}");
    let berlin = tzif("Europe/Berlin");
    for damaged in [&berlin[..100], b"TZif", &[b"TZif".as_slice(), &[255; 200]].concat()] {
        let error = error(&directory(&[("Europe/Berlin", damaged), ("UTC", &tzif("UTC"))]));
        assert!(error.contains("Europe/Berlin"), "{error}");
    }
    let large = [berlin.as_slice(), &vec![0; 70_000]].concat();
    let error = error(&directory(&[("Europe/Berlin", &large)]));
    assert!(error.contains("65536 bytes"), "{error}");
}

#[test]
fn leap_seconds_are_refused() {
    let mut utc = tzif("UTC");
    let second = utc.windows(4).rposition(|four| four == b"TZif").unwrap();
    utc[second + 31] = 1;
    let error = read(&directory(&[("UTC", &utc)])).unwrap_err().to_string();
    assert!(error.contains("leap seconds"), "{error}");
}

#[test]
fn links_are_followed_within_the_directory_only() {
    let outside = directory(&[("secret", &tzif("Asia/Tokyo"))]);
    let folder = directory(&[("Europe/Berlin", &tzif("Europe/Berlin"))]);
    let link = |target: PathBuf, name: &str| symlink(target, folder.path(name)).unwrap();
    link("Europe/Berlin".into(), "Germany");
    link(outside.path("secret"), "Stolen");
    link("nothing".into(), "Dangling");
    link("Loop".into(), "Loop");
    link("Europe".into(), "Linked");
    link(outside.path(""), "Outside");
    let read = read(&folder).unwrap();
    assert!(read.files.keys().map(|name| &**name).eq(["Europe/Berlin", "Germany"]));
    let mut ignored = read.ignored().to_vec();
    ignored.sort();
    assert_eq!(ignored, ["Dangling", "Loop", "Outside", "Stolen"]);
}

#[test]
fn more_than_a_database_can_have_is_refused() {
    let utc = tzif("UTC");
    let names: Vec<String> = (0..ENTRIES_MAX + 1).map(|n| format!("Z{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &*utc)).collect();
    let error = read(&directory(&files)).unwrap_err().to_string();
    assert!(error.contains("more than 5000 files"), "{error}");
}

#[test]
fn names_that_are_missing_keep_a_zone() {
    // A distribution without former names, whose Los Angeles has other rules: those of Tokyo.
    let tokyo = tzif("Asia/Tokyo");
    let folder = directory(&[("America/Los_Angeles", &tokyo), ("+VERSION", b"2027a\n")]);
    let (rules, kept) = read(&folder).unwrap().complete(ZoneRules::built_in());
    assert_eq!(rules.version(), "2027a");
    // A link follows the zone that it is a link to; another zone stays as it is.
    assert_eq!(rules.file("US/Pacific").unwrap(), tokyo);
    assert_eq!(rules.file("Europe/Berlin").unwrap(), tzif("Europe/Berlin"));
    assert!(kept.contains(&"Europe/Berlin".to_owned()));
    assert!(!kept.contains(&"US/Pacific".to_owned()));
    assert!(rules.names().eq(ZoneRules::built_in().names()));
}

#[test]
fn the_machines_own_rules_can_be_read() {
    let path = Path::new("/usr/share/zoneinfo");
    if path.exists() {
        let read = ZoneDirectory::read(path).unwrap();
        assert!(read.files.len() > 300, "{}", read.files.len());
    }
}
