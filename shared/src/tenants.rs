//! The tenants that this process knows, each with its database; re-read while running.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::id::TenantId;
use crate::random::Random;
use crate::reconnect::Reconnect;
use crate::store::{Connections, Control, Result, Store, chain};
use crate::tenant::{Tenant, TenantStatus};

/// The shortest and longest wait between two tries to read the list for the first time.
const FIRST_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A tenant and what is needed to work for it.
pub struct OpenTenant {
    /// As the control database listed it last.
    pub tenant: Tenant,
    /// Its database.
    pub store: Arc<Store>,
    /// How that database is doing, seen from here.
    pub health: Arc<Health>,
}

impl OpenTenant {
    /// What people call it.
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
    known: RwLock<Arc<BTreeMap<TenantId, Arc<OpenTenant>>>>,
}

impl Tenants {
    /// Knows nobody until [`Tenants::refresh`].
    pub fn new(control: Arc<Control>, connections: Connections) -> Tenants {
        let random = Random::system();
        Tenants { control, connections, random, known: RwLock::default() }
    }

    /// The same, with random numbers of the caller's, by which waits are spread.
    pub fn spread_by(self, random: Random) -> Tenants {
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

    /// The clock that everything here goes by.
    pub fn clock(&self) -> &Clock {
        self.connections.clock()
    }

    /// Reads the list for the first time; while the control database isn't there, waits and says
    /// so. A caller that is asked to stop drops this.
    pub async fn wait_for_first(&self) {
        let mut waits = Reconnect::spread_by(FIRST_WAITS.0, FIRST_WAITS.1, self.random.clone());
        let mut complained = None;
        loop {
            let read = async {
                self.control.check_schema().await?;
                self.refresh().await
            };
            match read.await {
                Ok(_) => return,
                Err(error) => {
                    let reason = chain(&error);
                    if complained.as_ref() != Some(&reason) {
                        warn!("waiting for the control database: {reason}");
                        complained = Some(reason);
                    }
                }
            }
            self.clock().sleep(waits.next_wait()).await;
        }
    }

    /// Reads the list again; a tenant that is new, or differs from before, is another
    /// [`OpenTenant`] from then on. While the control database is away, the tenants known last stay
    /// in force.
    pub async fn refresh(&self) -> Result<()> {
        let listed = self.control.list_tenants().await?;
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
        for (id, gone) in before.iter() {
            if !known.contains_key(id) {
                info!(tenant = gone.slug(), "the tenant was removed");
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    /// None, with a log line: its URL cannot be read.
    fn open(&self, tenant: Tenant) -> Option<Arc<OpenTenant>> {
        match Store::of(&tenant, &self.connections) {
            Ok(store) => {
                let health = Arc::new(Health::spread_by(self.clock().clone(), self.random.clone()));
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

    /// Everybody known now.
    pub fn all(&self) -> Arc<BTreeMap<TenantId, Arc<OpenTenant>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of them.
    pub fn get(&self, id: TenantId) -> Option<Arc<OpenTenant>> {
        self.all().get(&id).cloned()
    }
}
