//! Who may read the files of a data folder, and which of them a demonstration deletes.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use polychron_embedded::{DataFolder, Engine};
use shared::config::Config;
use testkit::{Folder, eventually};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything below a folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let below = if path.is_dir() { all(&path) } else { Vec::new() };
            [path].into_iter().chain(below)
        })
        .collect()
}

fn config() -> Config {
    Config::read(&Default::default(), &[]).unwrap()
}

/// Makes a folder as a demonstration does, with one tenant.
async fn demonstrate(path: &Path, slug: &str) {
    let folder = DataFolder::open(path).unwrap();
    folder.begin_demonstration().await.unwrap();
    let engine = Engine::new(&folder, config()).await.unwrap();
    engine.add_tenant(&folder, slug, slug).await.unwrap();
    drop((folder, engine));
    closed(path).await;
}

/// Waits until the connections to the databases are closed, which happens on threads of their own.
async fn closed(path: &Path) {
    eventually("all connections are closed", || async {
        let is_open = |path: &PathBuf| path.to_string_lossy().ends_with("-wal");
        (!all(path).iter().any(is_open)).then_some(())
    })
    .await;
}

/// Makes a folder as `up` does, with one tenant.
async fn up(path: &Path, slug: &str) {
    let folder = DataFolder::open(path).unwrap();
    let engine = Engine::new(&folder, config()).await.unwrap();
    engine.add_tenant(&folder, slug, slug).await.unwrap();
    drop((folder, engine));
    closed(path).await;
}

/// A demonstration is refused, and deletes nothing.
async fn is_refused(path: &Path, why: &str) {
    let before = all(path);
    let refusal = match DataFolder::open(path) {
        Ok(folder) => folder.begin_demonstration().await,
        Err(error) => Err(error),
    };
    let refusal = format!("{:#}", refusal.unwrap_err());
    assert!(refusal.contains(why), "`{why}` is missing in: {refusal}");
    for path in before {
        assert!(path.symlink_metadata().is_ok(), "{} is gone", path.display());
    }
}

#[tokio::test]
async fn other_users_can_reach_no_file_whatever_there_was_before() {
    let folder = Folder::new();
    // All of it in a folder that already exists, with files that all users may read.
    let (new, used) = (folder.path("new/deep"), folder.path("used"));
    std::fs::create_dir_all(used.join("tenants")).unwrap();
    set_mode(&used, 0o755);
    set_mode(&used.join("tenants"), 0o777);
    for name in ["lock", "control.db", "tenants/acme.db", "tenants/globex.db"] {
        std::fs::write(used.join(name), "").unwrap();
        set_mode(&used.join(name), 0o666);
    }
    for path in [&new, &used] {
        let opened = DataFolder::open(path).unwrap();
        let engine = Engine::new(&opened, config()).await.unwrap();
        engine.add_tenant(&opened, "acme", "Acme").await.unwrap();
        let found = all(path);
        let has = |name: &str| found.iter().any(|path| path.ends_with(name));
        assert!(has("control.db-wal") && has("tenants/acme.db-shm"), "{found:?}");
        for path in [vec![path.clone()], found].concat() {
            let right = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(format!("{:o}", mode(&path)), format!("{right:o}"), "{}", path.display());
        }
    }
    assert_eq!(mode(&folder.path("new")), 0o700);
}

#[tokio::test]
async fn a_folder_that_others_use_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let others = folder.path("others");
    std::fs::create_dir(&others).unwrap();
    std::fs::write(others.join("thesis.tex"), "").unwrap();
    set_mode(&others, 0o755);
    is_refused(&others, "which holds other files").await;
    assert_eq!(mode(&others), 0o755);
    set_mode(&others, 0o700);
    assert!(DataFolder::open(&others).is_ok(), "nobody else has access");
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let folder = Folder::new();
    let real = folder.path("real");
    up(&real, "acme").await;
    for (name, target) in [
        ("control.db", "control.db"),
        ("control.db-wal", "control.db"),
        ("lock", "control.db"),
        ("demonstration", "control.db"),
        ("tenants", "tenants"),
    ] {
        let path = folder.path(&format!("linked-{name}"));
        std::fs::create_dir(&path).unwrap();
        set_mode(&path, 0o700);
        symlink(real.join(target), path.join(name)).unwrap();
        is_refused(&path, "is a symbolic link").await;
    }
    let path = folder.path("linked-tenant");
    std::fs::create_dir_all(path.join("tenants")).unwrap();
    set_mode(&path, 0o700);
    symlink(real.join("tenants/acme.db"), path.join("tenants/acme.db")).unwrap();
    is_refused(&path, "is a symbolic link").await;
    // The whole folder may be a link.
    let whole = folder.path("whole");
    symlink(&real, &whole).unwrap();
    is_refused(&whole, "were not made by a demonstration").await;
    assert_eq!(DataFolder::open(&whole).unwrap().path(), real.canonicalize().unwrap());
}

#[tokio::test]
async fn a_demonstration_deletes_what_the_last_one_made() {
    let folder = Folder::new();
    let path = folder.path("demo");
    demonstrate(&path, "acme").await;
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    demonstrate(&path, "globex").await;
    assert!(!path.join("tenants/acme.db").exists() && path.join("tenants/globex.db").exists());
    assert!(path.join("notes.txt").exists());
    // Killed before it listed its tenant.
    let opened = DataFolder::open(&path).unwrap();
    opened.begin_demonstration().await.unwrap();
    drop(Engine::new(&opened, config()).await.unwrap());
    drop(opened);
    closed(&path).await;
    let marker = std::fs::read_to_string(path.join("demonstration")).unwrap();
    let marked = format!("{marker}0192d4e0-0000-7000-8000-000000000000 acme\n");
    std::fs::write(path.join("demonstration"), marked).unwrap();
    std::fs::write(path.join("tenants/acme.db"), "").unwrap();
    demonstrate(&path, "globex").await;
    assert!(!path.join("tenants/acme.db").exists());
}

#[tokio::test]
async fn a_demonstration_deletes_nothing_that_is_not_its_own() {
    let folder = Folder::new();
    let real = folder.path("real");
    up(&real, "acme").await;
    is_refused(&real, "were not made by a demonstration").await;
    // The marker of another folder, or one that names no tenant.
    let demo = folder.path("demo");
    demonstrate(&demo, "acme").await;
    std::fs::copy(demo.join("demonstration"), real.join("demonstration")).unwrap();
    is_refused(&real, "the tenant acme was not added by a demonstration").await;
    std::fs::write(real.join("demonstration"), "").unwrap();
    is_refused(&real, "the tenant acme was not added by a demonstration").await;
    // A tenant that was added to a demonstration's folder.
    up(&demo, "initech").await;
    is_refused(&demo, "the tenant initech was not added by a demonstration").await;
    // A database without an owner.
    let demo = folder.path("other-demo");
    demonstrate(&demo, "acme").await;
    for stray in ["tenants/stray.db", "stray.db"] {
        std::fs::write(demo.join(stray), "").unwrap();
        is_refused(&demo, "stray.db was not made by a demonstration").await;
        std::fs::remove_file(demo.join(stray)).unwrap();
    }
    // The control database was exchanged for one that cannot be read.
    std::fs::write(demo.join("control.db"), "x".repeat(4096)).unwrap();
    is_refused(&demo, "control.db").await;
}
