//! The only place that reads the process's environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The program that launches others for a process that cannot do so itself, such as a test harness.
pub const LAUNCHER: &str = "POLYCHRON_LAUNCHER";

/// Tells tests of handlers in other languages where `polychron` is (`sdk/python`).
pub const PROGRAM: &str = "POLYCHRON_PROGRAM";

/// All variables whose names and values are valid Unicode.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// One variable, such as `NO_COLOR` or a tenant's secret. None if it is unset, empty or not valid
/// Unicode.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The program that `POLYCHRON_LAUNCHER` names, else `polychron` on the `PATH`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn launcher() -> Option<PathBuf> {
    let named = std::env::var_os(LAUNCHER).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("polychron"))
            .find(|path| path.is_file())
    })
}
