//! Who may do what: the file of users, their passwords and tokens, and who is signed in.
//!
//! Without a file, every request has the rights of an operator, and any user of the machine can send one.
//! So only the loopback address is served.

mod device;
mod rate_limit;
mod sessions;
pub(crate) mod users_file;
mod visitor;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use ring::hmac;
use shared::clock::Clock;
use shared::config::Config;
use shared::metrics::Metrics;
use shared::random::Random;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{error, info, warn};

pub(crate) use self::device::COOKIE as DEVICE_COOKIE;
use self::rate_limit::{RateLimit, Verdict};
use self::sessions::Sessions;
use self::users_file::UsersFile;
pub(crate) use self::visitor::Visitor;
use crate::secret::{self, hex};
use crate::user::{Role, User};
use operations::failure::Failure;

/// The name of the cookie that holds a session.
pub(crate) const COOKIE: &str = "polychron_session";
/// How many passwords are checked at once, and how many of them of known browsers: a check takes a
/// large part of a second of a processor, and strangers must not keep users waiting.
const CHECKS: usize = 2;
const CHECKS_OF_DEVICES: usize = 1;
/// How long an attempt waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(15);
/// The longest part of a name that is logged.
const NAME_CHARS_LOGGED: usize = 64;

/// Authenticates visitors.
pub(crate) struct Access {
    file: Option<Mutex<UsersFile>>,
    clock: Clock,
    random: Random,
    metrics: Metrics,
    /// Signs form keys; new at every start.
    key: hmac::Key,
    sessions: Mutex<Sessions>,
    rate_limit: Mutex<RateLimit>,
    checks: Arc<Semaphore>,
    checks_of_devices: Arc<Semaphore>,
}

/// What a user needs to sign in.
pub(crate) struct Credentials<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: String,
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The client's cookies may show that the user has signed in there before.
    pub(crate) headers: &'a HeaderMap,
}

/// The cookies' values of a user who has signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: String,
    /// Marks the browser as known to this user.
    pub(crate) device: String,
}

impl Access {
    /// With the users of the file that the settings name; open if there is none.
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        random: Random,
        metrics: Metrics,
    ) -> Result<Access, Failure> {
        let file = config.users.as_deref().map(UsersFile::open).transpose()?.map(Mutex::new);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>());
        let (sessions, rate_limit) = (Mutex::new(Sessions::new(config.session)), Mutex::default());
        let checks = Arc::new(Semaphore::new(CHECKS));
        let checks_of_devices = Arc::new(Semaphore::new(CHECKS_OF_DEVICES));
        Ok(Access {
            file,
            clock,
            random,
            metrics,
            key,
            sessions,
            rate_limit,
            checks,
            checks_of_devices,
        })
    }

    /// Whether no sign-in is needed.
    pub(crate) fn is_open(&self) -> bool {
        self.file.is_none()
    }

    /// Reads the file of users again if it has changed. If it cannot be read, nothing changes, and one
    /// error is logged. A user whose entry changed is signed out.
    pub(crate) fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let mut file = lock(file);
        match file.changed() {
            None => {}
            Some(Ok(users)) => {
                let named = |users: &[User], name: &str| {
                    users.iter().find(|user| user.name == name).cloned()
                };
                let ended = self
                    .sessions()
                    .end_unless(|name| named(&users, name) == named(&file.users, name));
                file.users = Arc::new(users);
                info!("the file of users was read again; sessions ended: {ended}");
            }
            Some(Err(failure)) => error!("the users stay as they were: {failure}"),
        }
    }

    /// The users of the file; none without a file.
    fn users(&self) -> Option<Arc<Vec<User>>> {
        self.file.as_ref().map(|file| lock(file).users.clone())
    }

    /// Who makes a request, if they prove it by a cookie or a token.
    pub(crate) fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let Some(users) = self.users() else {
            let form_key = Some(self.form_key("loopback"));
            return Some(Visitor { name: None, role: Role::Operator, tenants: None, form_key });
        };
        let mut users = users.iter().filter(|user| !user.revoked);
        let (user, form_key) = match bearer(headers) {
            Some(token) => {
                let hash = secret::of_token(token);
                (users.find(|user| user.token.as_ref() == Some(&hash))?, None)
            }
            None => {
                let id = cookie(headers, COOKIE)?;
                let name = self.sessions().user(self.clock.boot_time(), id)?;
                (users.find(|user| user.name == name)?, Some(self.form_key(id)))
            }
        };
        let User { name, role, tenants, .. } = user.clone();
        Some(Visitor { name: Some(name), role, tenants, form_key })
    }

    /// Counts a request whose token is unknown, and logs the first of each address.
    pub(crate) fn refused(&self, headers: &HeaderMap, address: IpAddr) {
        if bearer(headers).is_none() {
            return;
        }
        self.metrics.sign_in_refused("token");
        if lock(&self.rate_limit).is_first_token(self.clock.boot_time(), address) {
            warn!(%address, "a request was refused: its token is unknown");
        }
    }

    /// Signs a user in. Neither the answer nor its duration reveals whether a user of that name
    /// exists.
    pub(crate) async fn sign_in(&self, given: Credentials<'_>) -> Result<SignedIn, Refusal> {
        let Credentials { name, password, address, headers } = given;
        let users = self.users().unwrap_or_default();
        let user = users.iter().find(|user| user.name == name && !user.revoked);
        let user = user.filter(|user| user.password.is_some());
        let device = user.and_then(|user| device::of(user, cookie(headers, DEVICE_COOKIE)?));
        let (checks, verdict) = match device {
            Some(device) => (&self.checks_of_devices, self.try_of_device(device)),
            None => (&self.checks, self.try_of_stranger(name, address)),
        };
        if let Verdict::Limited { is_first } = verdict {
            return Err(self.rate_limited(is_first, name, address));
        }
        let Ok(Ok(turn)) = timeout(TURN_LIMIT, checks.clone().acquire_owned()).await else {
            return Err(self.rate_limited(false, name, address));
        };
        let hash = match user.and_then(|user| user.password.clone()) {
            Some(hash) => hash,
            None => self.decoy(&users, name),
        };
        let checked = tokio::task::spawn_blocking(move || {
            // The check goes on, and keeps its turn, if the client closes the connection meanwhile.
            let _turn = turn;
            secret::is_password(&password, &hash)
        });
        let is_right = checked.await.unwrap_or(false);
        let Some(user) = user.filter(|user| is_right && self.is_current(user)) else {
            self.metrics.sign_in_refused("password");
            warn!(user = shown(name), %address, "a sign-in was refused: wrong name or password");
            return Err(Refusal::Wrong);
        };
        lock(&self.rate_limit).succeeded(address, &secret::of_token(name));
        let session = hex(&self.random.bytes::<32>());
        self.sessions().begin(self.clock.boot_time(), &session, name);
        let device = match device {
            Some(known) => device::cookie(user, known),
            None => device::cookie(user, &hex(&self.random.bytes::<16>())),
        };
        Ok(SignedIn { session, device })
    }

    /// Whether the file still has this entry: it may have changed while the password was checked.
    fn is_current(&self, user: &User) -> bool {
        self.users().is_some_and(|users| users.contains(user))
    }

    fn try_of_device(&self, device: &str) -> Verdict {
        lock(&self.rate_limit).attempt_of_device(self.clock.boot_time(), device)
    }

    fn try_of_stranger(&self, name: &str, address: IpAddr) -> Verdict {
        lock(&self.rate_limit).attempt(self.clock.boot_time(), address, &secret::of_token(name))
    }

    fn rate_limited(&self, is_first: bool, name: &str, address: IpAddr) -> Refusal {
        self.metrics.sign_in_refused("rate_limit");
        if is_first {
            warn!(user = shown(name), %address, "sign-ins are refused: too many attempts");
        }
        Refusal::RateLimited
    }

    /// A hash that no password has, for a name without a user. It takes as long to compare as the hash
    /// of one of the users, always the same one for a name: their numbers of iterations may differ.
    fn decoy(&self, users: &[User], name: &str) -> String {
        let hashes: Vec<&String> = users.iter().filter_map(|user| user.password.as_ref()).collect();
        let draw = hmac::sign(&self.key, name.as_bytes());
        let draw = draw
            .as_ref()
            .iter()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let like = draw.checked_rem(hashes.len()).and_then(|at| hashes.get(at));
        secret::decoy(like.map_or("", |hash| hash))
    }

    /// Ends a session.
    pub(crate) fn sign_out(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers, COOKIE) {
            self.sessions().end(id);
        }
    }

    /// The form key of a session, which no other site can know.
    fn form_key(&self, session: &str) -> String {
        hex(hmac::sign(&self.key, session.as_bytes()).as_ref())
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The start of a name that a stranger wrote, for the log, which makes it printable.
fn shown(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARS_LOGGED);
    end.map_or(name, |(at, _)| &name[..at])
}

/// Why a user was not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Wrong name or password.
    Wrong,
    /// Too many attempts.
    RateLimited,
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.strip_prefix("Bearer ").map(str::trim)
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::pin::pin;

    use futures_util::poll;
    use shared::config::Sources;
    use tempfile::NamedTempFile;

    use super::*;

    const PASSWORD: &str = "correct-horse";

    /// A file with one user, and what authenticates by it.
    fn access() -> (Access, NamedTempFile) {
        let file = NamedTempFile::new().unwrap();
        write(&file, PASSWORD);
        let users = file.path().display().to_string();
        let flags = [("POLYCHRON_USERS".to_owned(), users)].into();
        let config = Config::read(&Sources { flags, ..Sources::default() }, &[]).unwrap();
        let metrics = Metrics::new(Clock::System);
        (Access::new(&config, Clock::System, Random::seeded(1), metrics).unwrap(), file)
    }

    /// Another length each time, because the file's time may be the same.
    fn write(file: &NamedTempFile, password: &str) {
        let hash = secret::of_password(password, [7; 16]);
        let entry = format!(
            "# {password}\n[[user]]\nname = \"ann\"\nrole = \"viewer\"\npassword = \"{hash}\"\n"
        );
        std::fs::write(file.path(), entry).unwrap();
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn ann(headers: &HeaderMap) -> Credentials<'_> {
        let address = IpAddr::from([192, 0, 2, 1]);
        Credentials { name: "ann", password: PASSWORD.to_owned(), address, headers }
    }

    #[tokio::test]
    async fn a_check_keeps_its_turn_when_the_client_hangs_up() {
        let (access, _file) = access();
        let headers = HeaderMap::new();
        let mut sign_in = Box::pin(access.sign_in(ann(&headers)));
        assert!(poll!(&mut sign_in).is_pending());
        drop(sign_in);
        assert_eq!(access.checks.available_permits(), CHECKS - 1);
        let all = access.checks.acquire_many(CHECKS as u32).await;
        assert!(all.is_ok(), "it ends with the check");
    }

    #[tokio::test]
    async fn a_password_that_changes_while_it_is_checked_is_refused() {
        let (access, file) = access();
        let headers = HeaderMap::new();
        assert!(access.sign_in(ann(&headers)).await.is_ok());
        let mut sign_in = pin!(access.sign_in(ann(&headers)));
        assert!(poll!(&mut sign_in).is_pending());
        write(&file, "another password");
        access.refresh();
        assert_eq!(sign_in.await.err(), Some(Refusal::Wrong));
    }
}
