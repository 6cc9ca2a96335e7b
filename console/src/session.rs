//! What every verb works with: the settings, the control database, the tenants in it.

use std::time::Duration;

use shared::clock::{Clock, Time};
use shared::config::Config;
use shared::id::TenantId;
use shared::queue::{AmqpUrl, BrokerState, Queue};
use shared::random::Random;
use shared::store::{Connections, Control, Store};
use shared::tenant::{Tenant, TenantStatus};
use tokio::time::timeout;
use tracing::debug;

use crate::exit::Failure;
use crate::output::{Output, say};

/// How long a command that is done waits for the broker, to nudge the producer.
const WAKE_LIMIT: Duration = Duration::from_secs(1);

/// One command's surroundings.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) output: Output,
    pub(crate) connections: Connections,
    pub(crate) control: Control,
    pub(crate) random: Random,
}

impl Session {
    /// Connects to the control database and sees to it that its schema is known.
    pub(crate) async fn open(config: Config, output: Output) -> Result<Session, Failure> {
        let connections = Connections::new(Clock::System, config.connections);
        let control = control(&config, &connections)?;
        control.check_schema().await.map_err(Failure::control)?;
        Ok(Session { config, output, connections, control, random: Random::system() })
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

    /// A tenant's database.
    pub(crate) fn store(&self, tenant: &Tenant) -> Result<Store, Failure> {
        Store::new(tenant.id, &tenant.database_url, &self.connections)
            .map_err(|error| Failure::tenant(tenant, error))
    }

    /// A tenant by its slug, its database, and that database's time.
    pub(crate) async fn enter(&self, slug: &str) -> Result<(Tenant, Store, Time), Failure> {
        let tenant = self.tenant(slug).await?;
        let store = self.store(&tenant)?;
        let now = store.now().await.map_err(|error| Failure::tenant(&tenant, error))?;
        Ok((tenant, store, now))
    }

    /// Tells the producers that a tenant's tables have changed, if the broker is there to tell
    /// them; otherwise they see it by their poll interval.
    pub(crate) async fn wake(&self, tenant: TenantId) {
        match &self.config.amqp_url {
            Some(url) => wake(url, tenant).await,
            None => debug!("AMQP_URL is not set; the producer will see the change by itself"),
        }
    }
}

/// The control database that the settings name.
pub(crate) fn control(config: &Config, connections: &Connections) -> Result<Control, Failure> {
    let missing = || Failure::Usage("DATABASE_URL is not set".to_owned());
    let url = config.database_url.as_ref().ok_or_else(missing)?;
    Control::new(url, connections).map_err(Failure::control)
}

/// Says so when what was asked for will have to wait for the tenant to be resumed.
pub(crate) fn mind_suspension(tenant: &Tenant) {
    if tenant.status == TenantStatus::Suspended {
        let slug = &tenant.slug;
        say(&format!(
            "tenant {slug} is suspended: nothing starts until `polychron tenant resume {slug}`"
        ));
    }
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
