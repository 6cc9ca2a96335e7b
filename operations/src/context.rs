//! The context of every operation, for commands, programs and pages alike: the settings, the control
//! database, the tenants' databases, and the audit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shared::clock::Clock;
use shared::config::Config;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::installed_rules::InstalledRules;
use shared::queue::{AmqpUrl, BrokerState, Publisher, Queue};
use shared::random::Random;
use shared::store::{Connections, Control, DbTime, Store, chain};
use shared::tenant::Tenant;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::change::{Change, PlannedChange};
use crate::failure::Failure;

/// How long a finished command waits for the broker, to wake the producers.
const WAKE_LIMIT: Duration = Duration::from_secs(1);

/// Where a tenant's tables are: its database, and its schema unless that is the default.
type Location = (DatabaseUrl, Option<String>);

/// What operations need.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// To all databases.
    pub connections: Connections,
    /// The control database.
    pub control: Control,
    /// For ids.
    pub random: Random,
    zone_rules: InstalledRules,
    wake_by: WakeBy,
    /// Tenants whose producers are woken later, all at once; none while each change wakes them.
    unwoken: Mutex<Option<BTreeSet<TenantId>>>,
    stores: Mutex<HashMap<TenantId, (Location, Arc<Store>)>>,
}

/// How producers are woken after a change.
pub enum WakeBy {
    /// By a connection for each change; not at all if no broker is configured.
    OwnConnection,
    /// By a connection that stays open.
    Publisher(Publisher),
}

/// A tenant, its database, and that database's time: what an operation at one tenant needs.
#[derive(Clone)]
pub struct TenantContext {
    /// The tenant.
    pub tenant: Tenant,
    /// Its database.
    pub store: Arc<Store>,
    /// That database's time when the operation began.
    pub now: DbTime,
}

impl TenantContext {
    /// The failure for an error of the tenant's database.
    pub fn failed(&self, error: shared::store::StoreError) -> Failure {
        Failure::tenant(&self.tenant, error)
    }
}

impl Context {
    /// Opens the control database that the settings name, and checks its schema.
    pub async fn open(config: Config) -> Result<Context, Failure> {
        let connections = Connections::within(Clock::System, config.connections);
        let control = control(&config, &connections)?;
        control.check_schema().await.map_err(Failure::control)?;
        let context = Context::new(config, connections, control, WakeBy::OwnConnection);
        context.follow_zone_rules().await;
        Ok(context)
    }

    /// With a control database that is open already.
    pub fn new(
        config: Config,
        connections: Connections,
        control: Control,
        wake_by: WakeBy,
    ) -> Context {
        let (random, stores, unwoken) = (Random::system(), Mutex::default(), Mutex::default());
        let zone_rules = InstalledRules::default();
        Context { config, connections, control, random, zone_rules, wake_by, unwoken, stores }
    }

    /// The same context, with this publisher for wakes.
    pub fn with_publisher(self, publisher: Publisher) -> Context {
        Context { wake_by: WakeBy::Publisher(publisher), ..self }
    }

    /// Evaluates schedules by the installation's time zone rules from now on.
    pub async fn follow_zone_rules(&self) {
        self.zone_rules.follow(&self.control).await;
    }

    /// The publisher for wakes, if there is one.
    pub fn publisher(&self) -> Option<&Publisher> {
        match &self.wake_by {
            WakeBy::OwnConnection => None,
            WakeBy::Publisher(publisher) => Some(publisher),
        }
    }

    /// The tenant with this slug.
    pub async fn tenant(&self, slug: &str) -> Result<Tenant, Failure> {
        let found = self.control.find_tenant(slug).await.map_err(Failure::control)?;
        found.ok_or_else(|| Failure::NotFound(unknown_tenant(slug)))
    }

    /// A tenant's database; the same as before, unless the tenant's URL or schema has changed.
    pub fn store(&self, tenant: &Tenant) -> Result<Arc<Store>, Failure> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant.database_url.clone(), tenant.schema.clone());
        if let Some((known, store)) = stores.get(&tenant.id)
            && *known == place
        {
            return Ok(store.clone());
        }
        let store =
            Store::of(tenant, &self.connections).map_err(|error| Failure::tenant(tenant, error))?;
        let store = Arc::new(store);
        stores.insert(tenant.id, (place, store.clone()));
        Ok(store)
    }

    /// A tenant by its slug, its database, and that database's time.
    pub async fn enter(&self, slug: &str) -> Result<TenantContext, Failure> {
        self.enter_tenant(self.tenant(slug).await?).await
    }

    /// The same, for a tenant that was read already.
    pub async fn enter_tenant(&self, tenant: Tenant) -> Result<TenantContext, Failure> {
        let store = self.store(&tenant)?;
        let now = store.now().await.map_err(|error| Failure::tenant(&tenant, error))?;
        Ok(TenantContext { tenant, store, now })
    }

    /// Makes a planned change and audits it: the plan before, the result after. `make` returns what was
    /// made and how the audit shows it. A dry run is only described.
    ///
    /// Every change passes here.
    pub fn record<T>(
        &self,
        planned: PlannedChange,
        make: impl Future<Output = Result<(T, Value), Failure>>,
    ) -> impl Future<Output = Result<Change<T>, Failure>> {
        // On the heap, or each operation's future would hold it several times.
        let make = Box::pin(make);
        async move {
            if planned.is_dry_run {
                return Ok(Change::WouldMake(planned.into()));
            }
            let PlannedChange { audit, .. } = planned;
            let now = self.control.now().await.map_err(Failure::control)?;
            let id = self.control.insert_audit(&audit, now).await.map_err(Failure::control)?;
            let (made, after) = make.await?;
            // The change is made; an incomplete record of it must not make it look undone.
            if let Err(error) = self.control.complete_audit(id, &after).await {
                warn!(action = audit.action, "the audit is incomplete: {}", chain(&error));
            }
            Ok(Change::Made(made))
        }
    }

    /// The same for a change that the producers should see at once.
    pub fn record_and_wake<T>(
        &self,
        planned: PlannedChange,
        make: impl Future<Output = Result<(T, Value), Failure>>,
    ) -> impl Future<Output = Result<Change<T>, Failure>> {
        let tenant = planned.tenant;
        let recording = Box::pin(self.record(planned, make));
        async move {
            let change = recording.await?;
            if let (Change::Made(_), Some(tenant)) = (&change, tenant) {
                self.wake(tenant).await;
            }
            Ok(change)
        }
    }

    /// Wakes the producers, since a tenant's tables have changed. Without a broker they see it
    /// within their poll interval.
    pub async fn wake(&self, tenant: TenantId) {
        if let Some(unwoken) = self.unwoken().as_mut() {
            unwoken.insert(tenant);
            return;
        }
        self.wake_all(&[tenant]).await;
    }

    /// From now on wakes no producer before [`wake_now`](Context::wake_now), so that changes at
    /// many tenants need one connection.
    pub fn put_off_waking(&self) {
        self.unwoken().get_or_insert_default();
    }

    /// Sends the wakes that were put off.
    pub async fn wake_now(&self) {
        let unwoken = self.unwoken().take().unwrap_or_default();
        if !unwoken.is_empty() {
            self.wake_all(&Vec::from_iter(unwoken)).await;
        }
    }

    fn unwoken(&self) -> MutexGuard<'_, Option<BTreeSet<TenantId>>> {
        self.unwoken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wake_all(&self, tenants: &[TenantId]) {
        match (&self.wake_by, &self.config.amqp_url) {
            (WakeBy::Publisher(publisher), _) => {
                for tenant in tenants {
                    let _ = timeout(WAKE_LIMIT, publisher.wake(*tenant)).await;
                }
            }
            (WakeBy::OwnConnection, Some(url)) => wake(url, tenants).await,
            (WakeBy::OwnConnection, None) => {
                debug!("AMQP_URL is not set; the producer will see the change by itself");
            }
        }
    }
}

/// The message for a tenant that doesn't exist, or that the user may not know of.
pub fn unknown_tenant(slug: &str) -> String {
    format!("no tenant is called `{slug}`; `polychron tenant list` lists the tenants")
}

/// The control database that the settings name.
pub fn control(config: &Config, connections: &Connections) -> Result<Control, Failure> {
    let missing = || Failure::Usage("DATABASE_URL is not set".to_owned());
    let url = config.database_url.as_ref().ok_or_else(missing)?;
    Control::new(url, connections).map_err(Failure::control)
}

async fn wake(url: &AmqpUrl, tenants: &[TenantId]) {
    let (publisher, driver) = Queue::Rabbit(url.clone()).publisher("polychron console", &[]);
    let mut state = publisher.state();
    let driving = tokio::spawn(driver);
    // The guard that `wait_for` returns locks the state, which the driver must be able to change.
    let opened = async { state.wait_for(|state| *state == BrokerState::Open).await.is_ok() };
    if timeout(WAKE_LIMIT, opened).await.unwrap_or(false) {
        for tenant in tenants {
            publisher.wake(*tenant).await;
        }
        // The driver sends what it was given, closes the connection and ends.
        drop(publisher);
        let _ = timeout(WAKE_LIMIT, driving).await;
    } else {
        debug!(broker = %url, "the broker does not answer; the producer will see the change by itself");
        driving.abort();
    }
}
