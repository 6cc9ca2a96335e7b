//! The folder of an embedded engine: its files, who may read them, and which of them may be deleted.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::private_file::{create, is_ours, is_shared, restrict};
use shared::store::{chain, list_tenants_of_file};
use shared::tenant::Tenant;

const CONTROL: &str = "control.db";
const TENANTS: &str = "tenants";
const LOCK: &str = "lock";
/// Lists the tenants that a demonstration made: a line for each, with its id and slug.
const MARKER: &str = "demonstration";
const MARKER_TEXT: &str = "# The tenants below, and control.db, were made by a demonstration and are \
                           deleted by the next one in this folder.\n";
/// What SQLite adds to the name of a database's file. The file itself comes last, so that an
/// interrupted deletion is completed by the next one.
const ENDINGS: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// A folder with a control database and the tenants' databases. It is locked while this exists,
/// because two engines on one folder would each have a queue of their own.
pub struct DataFolder {
    path: PathBuf,
    /// Whether a demonstration adds the tenants.
    is_demonstration: AtomicBool,
    _lock: File,
}

impl DataFolder {
    /// Opens a folder; creates it if it is missing. Its files hold passwords and tenants' data, so
    /// other users lose all rights to the folder and to the files that are there.
    ///
    /// # Errors
    /// If another process uses it, it cannot be created, it belongs to another user or is shared with
    /// others and has files of theirs, or one of its files is a symbolic link.
    pub fn open(path: &Path) -> Result<DataFolder> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("the data folder {} cannot be created", path.display()))?;
        let path = path.canonicalize()?;
        make_private(&path)?;
        let tenants = path.join(TENANTS);
        match DirBuilder::new().mode(0o700).create(&tenants) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).context("the data folder cannot be written to");
            }
            Ok(()) | Err(_) => restrict_entry(&tenants, Metadata::is_dir)?,
        }
        for file in files_of(&path)? {
            restrict_entry(&file, Metadata::is_file)?;
        }
        let lock = path.join(LOCK);
        create(&lock).context("the data folder cannot be written to")?;
        let lock = OpenOptions::new().write(true).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(DataFolder { path, is_demonstration: AtomicBool::new(false), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => bail!(
                "another process uses the data folder {}: stop it, or choose another folder with --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).context("the data folder cannot be locked")
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control database in it.
    pub fn control_url(&self) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.path.join(CONTROL))
    }

    /// A tenant's database in it.
    pub fn tenant_url(&self, slug: &str) -> DatabaseUrl {
        DatabaseUrl::of_sqlite_file(&self.tenant_file(slug))
    }

    fn tenant_file(&self, slug: &str) -> PathBuf {
        self.path.join(TENANTS).join(format!("{slug}.db"))
    }

    /// Begins a demonstration: deletes the databases that an earlier one made in this folder, and
    /// marks those of the tenants that [`Engine::add_tenant`](crate::Engine::add_tenant) adds, so that
    /// the next one may delete them.
    ///
    /// # Errors
    /// If the folder has a database that no demonstration made. Then nothing is deleted.
    pub async fn begin_demonstration(&self) -> Result<()> {
        let doomed = self.made_by_demonstration().await.with_context(|| {
            format!(
                "nothing was deleted: choose another folder with --data, or delete the data in {} yourself",
                self.path.display()
            )
        })?;
        for file in doomed {
            for ending in ENDINGS {
                let mut name = file.clone().into_os_string();
                name.push(ending);
                match std::fs::remove_file(&name) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(error).context("what the last demonstration left");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
        let marker = self.path.join(MARKER);
        create(&marker)?;
        std::fs::write(marker, MARKER_TEXT)?;
        self.is_demonstration.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Marks a tenant, before it is added, if this is a demonstration.
    pub(crate) fn mark(&self, id: TenantId, slug: &str) -> Result<()> {
        if !self.is_demonstration.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut marker = OpenOptions::new().append(true).open(self.path.join(MARKER))?;
        Ok(writeln!(marker, "{id} {slug}")?)
    }

    /// The database files, all of which a demonstration must have made.
    async fn made_by_demonstration(&self) -> Result<Vec<PathBuf>> {
        let mut databases = files_of(&self.path)?;
        databases.retain(|file| file.extension().is_some_and(|ending| ending == "db"));
        let control = self.path.join(CONTROL);
        if databases.is_empty() {
            return Ok(Vec::new());
        }
        let marked = match std::fs::read_to_string(self.path.join(MARKER)) {
            Ok(text) => marked(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("the databases in {} were not made by a demonstration", self.path.display())
            }
            Err(error) => return Err(error).context("the list of the demonstration's tenants"),
        };
        let listed = match control.exists() {
            true => list_tenants_of_file(&self.control_url())
                .await
                .map_err(|error| anyhow::anyhow!("{}: {}", control.display(), chain(&error)))?,
            false => Vec::new(),
        };
        for tenant in &listed {
            let Tenant { slug, id, .. } = tenant;
            let is_marked = marked.get(slug) == Some(&id.to_string());
            ensure!(is_marked, "the tenant {slug} was not added by a demonstration");
        }
        // A demonstration that was killed may have made a file, but not yet listed its tenant.
        for file in databases.iter().filter(|file| **file != control) {
            let is_marked = marked.keys().any(|slug| self.tenant_file(slug) == *file);
            ensure!(is_marked, "{} was not made by a demonstration", file.display());
        }
        // The control database last: without it, the tenants' files would have no owner.
        databases.sort_by_key(|file| *file == control);
        Ok(databases)
    }
}

/// The ids of the tenants in a marker, by slug.
fn marked(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter_map(|line| line.split_once(' '));
    lines.map(|(id, slug)| (slug.to_owned(), id.to_owned())).collect()
}

/// The files of ours that are there: databases and what SQLite keeps beside them, lock and marker.
fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [path.to_path_buf(), path.join(TENANTS)] {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_database = ENDINGS.iter().any(|ending| name.ends_with(&format!(".db{ending}")));
            if is_database || [LOCK, MARKER].contains(&name.as_str()) {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// Takes other users' rights to the folder away. Refuses a folder that they seem to use.
fn make_private(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path)?;
    ensure!(
        is_ours(&metadata),
        "the data folder {} belongs to another user: run as that user, or `chown` it",
        path.display()
    );
    if !is_shared(&metadata) {
        return Ok(());
    }
    let is_empty = std::fs::read_dir(path)?.next().is_none();
    let was_used = path.join(CONTROL).exists() || path.join(LOCK).exists();
    ensure!(
        is_empty || was_used,
        "other users have access to {}, which holds other files: choose a folder of its own, or run \
         `chmod 700 {0}`",
        path.display()
    );
    Ok(restrict(path)?)
}

/// Takes other users' rights to a file or folder away; refuses what leads elsewhere.
fn restrict_entry(path: &Path, is_right: impl Fn(&Metadata) -> bool) -> Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    ensure!(
        !metadata.is_symlink(),
        "{} is a symbolic link, which is not followed: move the file here, or link the whole folder",
        path.display()
    );
    ensure!(is_right(&metadata), "{} is of the wrong kind: remove it", path.display());
    ensure!(is_ours(&metadata), "{} belongs to another user: `chown` it", path.display());
    restrict(path).with_context(|| path.display().to_string())
}
