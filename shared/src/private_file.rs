//! Files with secrets. Only this user can read ours, whatever the umask is. Those of the operator are refused
//! if other users can read or change them.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

/// The mode of our files.
const FILE_MODE: u32 = 0o600;
/// The permissions of the group and of others.
const RIGHTS_OF_OTHERS: u32 = 0o077;
const READABLE_BY_ALL: u32 = 0o004;
/// The permissions to write of the group and of others. The group may read: packages and containers pass
/// secrets to a service in this way.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The maximum size of such a file.
const BYTES_MAX: u64 = 1024 * 1024;
/// The folders in which container engines mount secrets, readable by every user of the container.
const MOUNTED_SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It could not be read, created or restricted.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Everybody can read it.
    #[error(
        "can be read by every user of this machine: run `chmod o= {}`, or in Kubernetes set `defaultMode: 0440`",
        .0.display()
    )]
    Readable(PathBuf),
    /// Others can change it.
    #[error("can be changed by other users of this machine: run `chmod g-w,o= {}`", .0.display())]
    Writable(PathBuf),
    /// It is larger than 1 MiB.
    #[error("cannot be read: it has more than {BYTES_MAX} bytes")]
    TooLarge,
}

/// Reads an operator's file with secrets. A pipe, such as `<(command)`, is read whatever its mode is.
///
/// # Errors
/// If every user can read it, or others can change it. A secret that a container engine has mounted may be
/// readable.
pub fn read(path: &Path) -> Result<String, Unfit> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(Unfit::Writable(path.to_path_buf()));
        }
        let mounted = MOUNTED_SECRETS.iter().any(|folder| path.starts_with(folder));
        if metadata.mode() & READABLE_BY_ALL != 0 && !mounted {
            return Err(Unfit::Readable(path.to_path_buf()));
        }
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(Unfit::TooLarge);
    }
    Ok(text)
}

/// Creates an empty file with mode 0600; returns whether it was missing. The file is not opened:
/// closing an SQLite database's file would drop this process's locks on it.
///
/// # Errors
/// If it cannot be created.
pub fn create(path: &Path) -> io::Result<bool> {
    match mknodat(CWD, path, FileType::RegularFile, Mode::from_raw_mode(FILE_MODE), 0) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    // The umask may have removed the owner's rights.
    std::fs::set_permissions(path, Permissions::from_mode(FILE_MODE))?;
    Ok(true)
}

/// Removes other users' permissions for a file or folder.
///
/// # Errors
/// If other users have permissions and it belongs to one of them.
pub fn restrict(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.mode();
    if mode & RIGHTS_OF_OTHERS == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700))
}

/// Whether the file belongs to this process's user.
pub fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

/// Whether other users have any permission for the file.
pub fn is_shared(metadata: &Metadata) -> bool {
    metadata.mode() & RIGHTS_OF_OTHERS != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::Folder;

    fn file(folder: &Folder, mode: u32) -> PathBuf {
        let path = folder.path(&format!("{mode:o}"));
        std::fs::write(&path, "hunter2").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_that_everybody_can_read_or_change_is_refused() {
        let folder = Folder::new();
        for fits in [0o600, 0o400, 0o640] {
            assert_eq!(read(&file(&folder, fits)).unwrap(), "hunter2", "{fits:o}");
        }
        for (unfit, problem, remedy) in [
            (0o644, "can be read by", "chmod o="),
            (0o604, "can be read by", "chmod o="),
            (0o602, "can be changed by", "chmod g-w,o="),
            (0o620, "can be changed by", "chmod g-w,o="),
            (0o666, "can be changed by", "chmod g-w,o="),
        ] {
            let path = file(&folder, unfit);
            let refusal = read(&path).unwrap_err().to_string();
            assert!(refusal.contains(problem), "{unfit:o}: {refusal}");
            assert!(refusal.contains(&format!("{remedy} {}", path.display())), "{refusal}");
        }
        assert!(matches!(read(Path::new("/dev/zero")), Err(Unfit::TooLarge)));
        // The mode of a link's target counts.
        let link = folder.path("link");
        std::os::unix::fs::symlink(folder.path("644"), &link).unwrap();
        assert!(matches!(read(&link), Err(Unfit::Readable(_))));
        assert!(matches!(read(&folder.path("missing")), Err(Unfit::Io(_))));
    }

    #[test]
    fn files_are_created_private_and_existing_ones_restricted_on_request() {
        let folder = Folder::new();
        let (new, there) = (folder.path("new"), file(&folder, 0o644));
        assert!(create(&new).unwrap());
        assert!(!create(&new).unwrap() && !create(&there).unwrap());
        assert_eq!((mode(&new), mode(&there)), (0o600, 0o644));
        restrict(&there).unwrap();
        assert_eq!(mode(&there), 0o600);
        // A dangling link is not followed.
        let (link, target) = (folder.path("link"), folder.path("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(!create(&link).unwrap() && !target.exists());
    }
}
