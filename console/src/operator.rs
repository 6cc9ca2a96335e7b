//! What every operation works with, be it asked for by a command, a program or a page: the
//! settings, the control database, the tenants in it, and the record of who changed what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shared::clock::{Clock, Time};
use shared::config::{self, Config};
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::queue::{AmqpUrl, BrokerState, Publisher, Queue};
use shared::random::Random;
use shared::store::{Change, Connections, Control, Store, chain};
use shared::tenant::Tenant;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::exit::Failure;

/// How long a command that is done waits for the broker, to nudge the producer.
const WAKE_LIMIT: Duration = Duration::from_secs(1);
/// The longest reason that is recorded, in characters.
const REASON_CHARS_MAX: usize = 500;

/// The means of an operation.
pub(crate) struct Operator {
    pub(crate) config: Config,
    pub(crate) connections: Connections,
    pub(crate) control: Control,
    pub(crate) random: Random,
    nudge: Nudge,
    stores: Mutex<HashMap<TenantId, (DatabaseUrl, Arc<Store>)>>,
}

/// How producers hear of a change.
pub(crate) enum Nudge {
    /// By a connection for each change; by none, if no broker is configured.
    OnDemand,
    /// By a connection that stays.
    Standing(Publisher),
}

/// Who asks for a change, and why.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    actor: String,
    reason: Option<String>,
}

impl Asker {
    /// Somebody at the web or the API, by the name that they signed in with.
    pub(crate) fn new(actor: String, reason: Option<&str>) -> Result<Asker, Failure> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
            let text = format!("reason: it has more than {REASON_CHARS_MAX} characters");
            return Err(Failure::Usage(text));
        }
        Ok(Asker { actor, reason: reason.map(str::to_owned) })
    }

    /// Whoever runs this command.
    pub(crate) fn at_the_terminal(reason: Option<&str>) -> Result<Asker, Failure> {
        let user = config::environment("USER").or_else(|| config::environment("LOGNAME"));
        Asker::new(format!("cli:{}", user.as_deref().unwrap_or("unknown")), reason)
    }

    /// A change that they ask for.
    pub(crate) fn change(
        &self,
        action: &str,
        tenant: &Tenant,
        target: Option<String>,
        before: Option<Value>,
    ) -> Change {
        Change {
            actor: self.actor.clone(),
            action: action.to_owned(),
            tenant: Some(tenant.slug.clone()),
            target,
            before,
            reason: self.reason.clone(),
        }
    }
}

/// A tenant, its database, and that database's time.
pub(crate) struct Entered {
    pub(crate) tenant: Tenant,
    pub(crate) store: Arc<Store>,
    pub(crate) now: Time,
}

impl Entered {
    /// The tenant's database failed.
    pub(crate) fn failed(&self, error: shared::store::StoreError) -> Failure {
        Failure::tenant(&self.tenant, error)
    }
}

impl Operator {
    /// Over the control database that the settings name, once its schema is known.
    pub(crate) async fn open(config: Config) -> Result<Operator, Failure> {
        let connections = Connections::new(Clock::System, config.connections);
        let control = control(&config, &connections)?;
        control.check_schema().await.map_err(Failure::control)?;
        Ok(Operator::new(config, connections, control, Nudge::OnDemand))
    }

    /// Over a control database that is known already.
    pub(crate) fn new(
        config: Config,
        connections: Connections,
        control: Control,
        nudge: Nudge,
    ) -> Operator {
        let (random, stores) = (Random::system(), Mutex::default());
        Operator { config, connections, control, random, nudge, stores }
    }

    /// Keeps a connection for the nudges, which `publisher` has.
    pub(crate) fn with_publisher(self, publisher: Publisher) -> Operator {
        Operator { nudge: Nudge::Standing(publisher), ..self }
    }

    /// The connection for nudges, if one stands.
    pub(crate) fn publisher(&self) -> Option<&Publisher> {
        match &self.nudge {
            Nudge::OnDemand => None,
            Nudge::Standing(publisher) => Some(publisher),
        }
    }

    /// The tenant that people call `slug`.
    pub(crate) async fn tenant(&self, slug: &str) -> Result<Tenant, Failure> {
        let found = self.control.find_tenant(slug).await.map_err(Failure::control)?;
        found.ok_or_else(|| {
            Failure::NotFound(format!(
                "no tenant is called `{slug}`; `polychron tenant list` shows those there are"
            ))
        })
    }

    /// A tenant's database; the same as before, unless the tenant's URL has changed.
    pub(crate) fn store(&self, tenant: &Tenant) -> Result<Arc<Store>, Failure> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((url, store)) = stores.get(&tenant.id)
            && *url == tenant.database_url
        {
            return Ok(store.clone());
        }
        let store = Store::new(tenant.id, &tenant.database_url, &self.connections)
            .map_err(|error| Failure::tenant(tenant, error))?;
        let store = Arc::new(store);
        stores.insert(tenant.id, (tenant.database_url.clone(), store.clone()));
        Ok(store)
    }

    /// A tenant by its slug, its database, and that database's time.
    pub(crate) async fn enter(&self, slug: &str) -> Result<Entered, Failure> {
        let tenant = self.tenant(slug).await?;
        let store = self.store(&tenant)?;
        let now = store.now().await.map_err(|error| Failure::tenant(&tenant, error))?;
        Ok(Entered { tenant, store, now })
    }

    /// Makes a change that leaves a trace: first what somebody is about to do, then what came of
    /// it. `make` answers with what was made and how the record shows it.
    pub(crate) async fn record<T>(
        &self,
        change: Change,
        make: impl Future<Output = Result<(T, Value), Failure>>,
    ) -> Result<T, Failure> {
        let now = self.control.now().await.map_err(Failure::control)?;
        let id = self.control.insert_audit(&change, now).await.map_err(Failure::control)?;
        let (made, after) = make.await?;
        // It is made; that its record stays incomplete must not make it look undone.
        if let Err(error) = self.control.complete_audit(id, &after).await {
            warn!(action = change.action, "the audit is incomplete: {}", chain(&error));
        }
        Ok(made)
    }

    /// Tells the producers that a tenant's tables have changed, if the broker is there to tell
    /// them; otherwise they see it by their poll interval.
    pub(crate) async fn wake(&self, tenant: TenantId) {
        match (&self.nudge, &self.config.amqp_url) {
            (Nudge::Standing(publisher), _) => {
                let _ = timeout(WAKE_LIMIT, publisher.wake(tenant)).await;
            }
            (Nudge::OnDemand, Some(url)) => wake(url, tenant).await,
            (Nudge::OnDemand, None) => {
                debug!("AMQP_URL is not set; the producer will see the change by itself");
            }
        }
    }
}

/// The control database that the settings name.
pub(crate) fn control(config: &Config, connections: &Connections) -> Result<Control, Failure> {
    let missing = || Failure::Usage("DATABASE_URL is not set".to_owned());
    let url = config.database_url.as_ref().ok_or_else(missing)?;
    Control::new(url, connections).map_err(Failure::control)
}

async fn wake(url: &AmqpUrl, tenant: TenantId) {
    let (publisher, driver) = Queue::Rabbit(url.clone()).publisher("polychron console", &[]);
    let mut state = publisher.state();
    let driving = tokio::spawn(driver);
    // What `wait_for` answers with locks the state, which the driver must be able to change.
    let opened = async { state.wait_for(|state| *state == BrokerState::Open).await.is_ok() };
    if timeout(WAKE_LIMIT, opened).await.unwrap_or(false) {
        publisher.wake(tenant).await;
        // The driver sends what it was given, says goodbye and ends.
        drop(publisher);
        let _ = timeout(WAKE_LIMIT, driving).await;
    } else {
        debug!(broker = %url, "the broker does not answer; the producer will see the change by itself");
        driving.abort();
    }
}
