//! The tenants that this process knows, with their databases. The list is refreshed while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::id::TenantId;
use crate::installed_rules::InstalledRules;
use crate::random::Random;
use crate::reconnect::Reconnect;
use crate::store::{Connections, Control, Result, Store, chain};
use crate::tenant::{Tenant, TenantStatus};

/// The shortest and longest wait between attempts to read the list for the first time.
const FIRST_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A tenant with its store and health.
pub struct OpenTenant {
    /// The tenant, as last read from the control database.
    pub tenant: Tenant,
    /// Its database.
    pub store: Arc<Store>,
    /// The health of that database, as this process sees it.
    pub health: Arc<Health>,
}

impl OpenTenant {
    /// Its slug.
    pub fn slug(&self) -> &str {
        &self.tenant.slug
    }

    /// Whether its jobs run.
    pub fn is_active(&self) -> bool {
        self.tenant.status == TenantStatus::Active
    }
}

/// All tenants of the control database.
pub struct Tenants {
    control: Arc<Control>,
    connections: Connections,
    random: Random,
    zone_rules: InstalledRules,
    known: RwLock<Arc<BTreeMap<TenantId, Arc<OpenTenant>>>>,
}

impl Tenants {
    /// An empty list; [`Tenants::refresh`] reads it.
    pub fn new(control: Arc<Control>, connections: Connections) -> Tenants {
        let random = Random::system();
        let (zone_rules, known) = (InstalledRules::default(), RwLock::default());
        Tenants { control, connections, random, zone_rules, known }
    }

    /// Takes the jitter of waits from `random`.
    pub fn with_random(self, random: Random) -> Tenants {
        Tenants { random, ..self }
    }

    /// The control database.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The connections to all databases.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What this process knows of the installation's time zone rules.
    pub fn zone_rules(&self) -> &InstalledRules {
        &self.zone_rules
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        self.connections.clock()
    }

    /// Reads the list for the first time. While the control database is unavailable, logs that and
    /// retries. Cancel-safe.
    pub async fn wait_for_first(&self) {
        let mut waits = Reconnect::with_random(FIRST_WAITS.0, FIRST_WAITS.1, self.random.clone());
        let mut logged = None;
        loop {
            let read = async {
                self.control.check_schema().await?;
                self.control.prove_place().await?;
                self.refresh().await
            };
            match read.await {
                Ok(_) => return,
                Err(error) => {
                    let reason = chain(&error);
                    if logged.as_ref() != Some(&reason) {
                        warn!("waiting for the control database: {reason}");
                        logged = Some(reason);
                    }
                }
            }
            self.clock().sleep(waits.next_wait()).await;
        }
    }

    /// Reads the list and the time zone rules again. A new or changed tenant gets a new [`OpenTenant`]. If
    /// the control database is unavailable, all stays as it is.
    pub async fn refresh(&self) -> Result<()> {
        let listed = self.control.list_tenants().await?;
        self.zone_rules.follow(&self.control).await;
        let before = self.all();
        let mut known = BTreeMap::new();
        for tenant in listed {
            let id = tenant.id;
            let open = match before.get(&id) {
                Some(open) if open.tenant == tenant => open.clone(),
                Some(open)
                    if (&open.tenant.database_url, &open.tenant.schema)
                        == (&tenant.database_url, &tenant.schema) =>
                {
                    let (store, health) = (open.store.clone(), open.health.clone());
                    Arc::new(OpenTenant { tenant, store, health })
                }
                _ => match self.open(tenant) {
                    Some(open) => open,
                    None => continue,
                },
            };
            known.insert(id, open);
        }
        for (id, removed) in before.iter() {
            if !known.contains_key(id) {
                info!(tenant = removed.slug(), "the tenant was removed");
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    /// Opens a tenant. If its URL is invalid, logs that and returns none.
    fn open(&self, tenant: Tenant) -> Option<Arc<OpenTenant>> {
        match Store::of(&tenant, &self.connections) {
            Ok(store) => {
                let health =
                    Arc::new(Health::with_random(self.clock().clone(), self.random.clone()));
                Some(Arc::new(OpenTenant { tenant, store: Arc::new(store), health }))
            }
            Err(error) => {
                warn!(
                    tenant = tenant.slug,
                    "the tenant's database_url cannot be read: {}",
                    chain(&error)
                );
                None
            }
        }
    }

    /// All known tenants.
    pub fn all(&self) -> Arc<BTreeMap<TenantId, Arc<OpenTenant>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One tenant, if it is known.
    pub fn get(&self, id: TenantId) -> Option<Arc<OpenTenant>> {
        self.all().get(&id).cloned()
    }
}
