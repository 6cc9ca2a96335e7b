//! Makes this process follow the time zone rules of the installation, which are in the control database.
//! Without any there, the built-in ones count.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info};

use crate::schedule::{EarlierRules, ZoneRules};
use crate::store::{Control, LatestZoneRules, Result, StoredZoneRules, chain};

/// What this process knows of the installation's rules.
#[derive(Default)]
pub struct InstalledRules {
    /// The rules that were read last.
    followed: Mutex<Option<LatestZoneRules>>,
    /// Whether it has read once which rules hold. The rules that a process begins with are no change.
    has_begun: AtomicBool,
    /// Why it cannot follow the installation's rules; none if it does.
    problem: Mutex<Option<String>>,
}

impl InstalledRules {
    /// Uses the installation's rules from now on. If they cannot be used, the ones in use stay, and the
    /// reason is logged once.
    pub async fn follow(&self, control: &Control) {
        let problem = self.update(control).await.err();
        let mut known = lock(&self.problem);
        if *known != problem {
            match &problem {
                Some(reason) => error!(
                    "the installation's time zone rules cannot be used; those in use stay in force: {reason}"
                ),
                None => {
                    info!(rules = %ZoneRules::current(), "the installation's time zone rules are used")
                }
            }
            *known = problem;
        }
    }

    /// Why this process cannot use the installation's rules; none if it does.
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    async fn update(&self, control: &Control) -> std::result::Result<(), String> {
        let latest = control.read_zone_rules().await.map_err(|error| chain(&error))?;
        let has_begun = self.has_begun.swap(true, Ordering::Relaxed);
        // What could not be read may be readable by now.
        if self.problem().is_none() && *lock(&self.followed) == latest {
            return Ok(());
        }
        self.read(control, latest, has_begun).await
    }

    async fn read(
        &self,
        control: &Control,
        latest: Option<LatestZoneRules>,
        has_begun: bool,
    ) -> std::result::Result<(), String> {
        let stored = control.list_zone_rules().await.map_err(|error| chain(&error))?;
        let last = stored.last().map(|last| (last.number, &last.hash));
        if last != latest.as_ref().map(|latest| (latest.number, &latest.hash)) {
            return Err("their content is missing, or too large".to_owned());
        }
        let rules = chained(&stored)?;
        let is_new = rules.hash() != ZoneRules::current().hash();
        // Sets that differ only in what held before are different ones, too.
        ZoneRules::use_from_now_on(rules.clone());
        if is_new && has_begun {
            info!(%rules, "the time zone rules have changed");
        }
        *lock(&self.followed) = latest;
        Ok(())
    }
}

/// The rules that the control database holds now, with those before them.
///
/// # Errors
/// The outer error is the database's; the inner one says why the rules cannot be used.
pub async fn read(control: &Control) -> Result<std::result::Result<Arc<ZoneRules>, String>> {
    Ok(chained(&control.list_zone_rules().await?))
}

/// The last of these rules, each after the one before it; the built-in ones if there are none.
fn chained(stored: &[StoredZoneRules]) -> std::result::Result<Arc<ZoneRules>, String> {
    let mut latest: Option<Arc<ZoneRules>> = None;
    for set in stored {
        let StoredZoneRules { version, source, hash, content, in_force_from: until, .. } = set;
        let rules = ZoneRules::unpack(version, source, hash, content)
            .map_err(|reason| format!("version {version} from {source}: {reason}"))?;
        let earlier = latest.take().map(|rules| EarlierRules { rules, until: *until });
        latest = Some(Arc::new(rules.after(earlier)));
    }
    Ok(latest.unwrap_or_else(|| ZoneRules::built_in().clone()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
