//! What every operation works with, be it asked for by a command, a program or a page: the
//! settings, the control database, the tenants in it, and the record of who changed what.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
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
use crate::output::{Column, column, maybe, whole_column};

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
    /// Whose producers hear of it later, together; none while each is told at once.
    unwoken: Mutex<Option<BTreeSet<TenantId>>>,
    stores: Mutex<HashMap<TenantId, ((DatabaseUrl, Option<String>), Arc<Store>)>>,
}

/// How producers hear of a change.
pub(crate) enum Nudge {
    /// By a connection for each change; by none, if no broker is configured.
    OnDemand,
    /// By a connection that stays.
    Standing(Publisher),
}

/// How a command was asked to make its changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) reason: Option<String>,
    pub(crate) dry_run: bool,
}

/// Who asks for a change, and why.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    actor: String,
    reason: Option<String>,
    /// Whether nothing shall be changed, only shown what would be.
    rehearses: bool,
}

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    change: Change,
    /// What it would come to, as far as that is known before.
    after: Option<Value>,
    rehearses: bool,
}

impl Intent {
    /// The same, with what it would come to.
    pub(crate) fn towards(self, after: Value) -> Intent {
        Intent { after: Some(after), ..self }
    }
}

/// What a change would come to: the same fields as the audit has.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rehearsal {
    would: String,
    tenant: Option<String>,
    target: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

pub(crate) const REHEARSAL: &[Column<Rehearsal>] = &[
    column("WOULD", |rehearsal| rehearsal.would.clone()),
    column("TENANT", |rehearsal| maybe(rehearsal.tenant.as_ref())),
    column("TARGET", |rehearsal| maybe(rehearsal.target.as_ref())),
    whole_column("BEFORE", |rehearsal| maybe(rehearsal.before.as_ref())),
    whole_column("AFTER", |rehearsal| maybe(rehearsal.after.as_ref())),
];

impl Asker {
    /// Somebody at the web or the API, by the name that they signed in with.
    pub(crate) fn new(actor: String, reason: Option<&str>) -> Result<Asker, Failure> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
            let text = format!("reason: it has more than {REASON_CHARS_MAX} characters");
            return Err(Failure::Usage(text));
        }
        Ok(Asker { actor, reason: reason.map(str::to_owned), rehearses: false })
    }

    /// Whoever runs this command.
    pub(crate) fn at_the_terminal(request: &Request) -> Result<Asker, Failure> {
        let user = config::environment("USER").or_else(|| config::environment("LOGNAME"));
        let actor = format!("cli:{}", user.as_deref().unwrap_or("unknown"));
        let asker = Asker::new(actor, request.reason.as_deref())?;
        Ok(Asker { rehearses: request.dry_run, ..asker })
    }

    /// Whether nothing shall be changed, only shown what would be.
    pub(crate) fn rehearses(&self) -> bool {
        self.rehearses
    }

    /// A change that they ask for.
    pub(crate) fn change(
        &self,
        action: &str,
        tenant: &Tenant,
        target: Option<String>,
        before: Option<Value>,
    ) -> Intent {
        let change = Change {
            actor: self.actor.clone(),
            action: action.to_owned(),
            tenant: Some(tenant.slug.clone()),
            target,
            before,
            reason: self.reason.clone(),
        };
        Intent { change, after: None, rehearses: self.rehearses }
    }
}

/// A tenant, its database, and that database's time.
#[derive(Clone)]
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
        let (random, stores, unwoken) = (Random::system(), Mutex::default(), Mutex::default());
        Operator { config, connections, control, random, nudge, unwoken, stores }
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
        found.ok_or_else(|| Failure::NotFound(unknown_tenant(slug)))
    }

    /// A tenant's database; the same as before, unless the tenant's URL or schema has changed.
    pub(crate) fn store(&self, tenant: &Tenant) -> Result<Arc<Store>, Failure> {
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
    pub(crate) async fn enter(&self, slug: &str) -> Result<Entered, Failure> {
        self.enter_tenant(self.tenant(slug).await?).await
    }

    /// The same, of a tenant that is known already.
    pub(crate) async fn enter_tenant(&self, tenant: Tenant) -> Result<Entered, Failure> {
        let store = self.store(&tenant)?;
        let now = store.now().await.map_err(|error| Failure::tenant(&tenant, error))?;
        Ok(Entered { tenant, store, now })
    }

    /// Makes a change that leaves a trace: first what somebody is about to do, then what came of
    /// it. `make` answers with what was made and how the record shows it.
    ///
    /// Every change passes here, and a rehearsal goes no further.
    pub(crate) async fn record<T>(
        &self,
        intent: Intent,
        make: impl Future<Output = Result<(T, Value), Failure>>,
    ) -> Result<T, Failure> {
        let Intent { change, after, rehearses } = intent;
        if rehearses {
            let Change { action: would, tenant, target, before, .. } = change;
            let rehearsal = Rehearsal { would, tenant, target, before, after };
            return Err(Failure::Rehearsed(Box::new(rehearsal)));
        }
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
        if let Some(unwoken) = self.unwoken().as_mut() {
            unwoken.insert(tenant);
            return;
        }
        self.wake_all(&[tenant]).await;
    }

    /// From now on tells nobody before [`wake_now`](Operator::wake_now): of changes at
    /// many tenants, one connection tells all.
    pub(crate) fn put_off_waking(&self) {
        self.unwoken().get_or_insert_default();
    }

    /// Tells what was put off.
    pub(crate) async fn wake_now(&self) {
        let unwoken = self.unwoken().take().unwrap_or_default();
        if !unwoken.is_empty() {
            self.wake_all(&Vec::from_iter(unwoken)).await;
        }
    }

    fn unwoken(&self) -> MutexGuard<'_, Option<BTreeSet<TenantId>>> {
        self.unwoken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wake_all(&self, tenants: &[TenantId]) {
        match (&self.nudge, &self.config.amqp_url) {
            (Nudge::Standing(publisher), _) => {
                for tenant in tenants {
                    let _ = timeout(WAKE_LIMIT, publisher.wake(*tenant)).await;
                }
            }
            (Nudge::OnDemand, Some(url)) => wake(url, tenants).await,
            (Nudge::OnDemand, None) => {
                debug!("AMQP_URL is not set; the producer will see the change by itself");
            }
        }
    }
}

/// What is said of a tenant that isn't there, or that somebody may not know of.
pub(crate) fn unknown_tenant(slug: &str) -> String {
    format!("no tenant is called `{slug}`; `polychron tenant list` shows those there are")
}

/// The control database that the settings name.
pub(crate) fn control(config: &Config, connections: &Connections) -> Result<Control, Failure> {
    let missing = || Failure::Usage("DATABASE_URL is not set".to_owned());
    let url = config.database_url.as_ref().ok_or_else(missing)?;
    Control::new(url, connections).map_err(Failure::control)
}

async fn wake(url: &AmqpUrl, tenants: &[TenantId]) {
    let (publisher, driver) = Queue::Rabbit(url.clone()).publisher("polychron console", &[]);
    let mut state = publisher.state();
    let driving = tokio::spawn(driver);
    // What `wait_for` answers with locks the state, which the driver must be able to change.
    let opened = async { state.wait_for(|state| *state == BrokerState::Open).await.is_ok() };
    if timeout(WAKE_LIMIT, opened).await.unwrap_or(false) {
        for tenant in tenants {
            publisher.wake(*tenant).await;
        }
        // The driver sends what it was given, says goodbye and ends.
        drop(publisher);
        let _ = timeout(WAKE_LIMIT, driving).await;
    } else {
        debug!(broker = %url, "the broker does not answer; the producer will see the change by itself");
        driving.abort();
    }
}
