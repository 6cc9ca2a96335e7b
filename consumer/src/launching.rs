//! Launches programs for job types.

use std::sync::Once;

use launcher::{Landlock, Launch, LaunchError, Launched, Launcher};
use tracing::warn;

/// Launches a program. Warns once if the kernel cannot confine it.
pub(crate) async fn launch(launcher: &Launcher, launch: Launch) -> Result<Launched, LaunchError> {
    static WARNED: Once = Once::new();
    let launched = launcher.launch(launch).await?;
    if launched.landlock == Landlock::Unavailable {
        WARNED.call_once(|| {
            warn!("the kernel has no Landlock: `sql` and `command` jobs and handler processes are less confined");
        });
    }
    Ok(launched)
}
