//! Directories of time zone files.

use std::path::PathBuf;

use shared::schedule::ZoneRules;

use crate::Folder;

/// Writes a directory like zoneinfo, in which each zone has the rules of another one, and returns its path.
pub fn zoneinfo(folder: &Folder, name: &str, version: &str, zones: &[(&str, &str)]) -> PathBuf {
    let path = folder.path(name);
    for (zone, like) in zones {
        let file = path.join(zone);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, ZoneRules::built_in().file(like).unwrap()).unwrap();
    }
    std::fs::write(path.join("tzdata.zi"), format!("# version {version}\n")).unwrap();
    path
}
