//! How the built-in types launch programs.

use std::sync::Once;

use launcher::{Landlock, Launch, LaunchError, Launched, Launcher};
use tracing::warn;

/// Launches a program. Warns once if the kernel cannot confine it.
pub(super) async fn launch(launcher: &Launcher, launch: Launch) -> Result<Launched, LaunchError> {
    static WARNED: Once = Once::new();
    let launched = launcher.launch(launch).await?;
    if launched.landlock == Landlock::Unavailable {
        WARNED.call_once(|| {
            warn!("the kernel has no Landlock: `sql` and `command` jobs are less confined");
        });
    }
    Ok(launched)
}
