//! Who may do what: the file of users, their passwords and tokens, and who is signed in.
//!
//! Without a file, every request is an operator's, as every user of the machine could be; that is why
//! only the loopback address is served then.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};
use ring::hmac;
use shared::clock::{BootTime, Clock};
use shared::private_file;
use shared::random::Random;
use tracing::{error, info};

use crate::problem::Problem;
use crate::secret::{self, hex};
use crate::user::{Role, User, Users};
use operations::failure::Failure;

/// The name of the cookie that holds a session.
pub(crate) const COOKIE: &str = "polychron_session";
/// How long an idle session lasts.
const IDLE_LIMIT: Duration = Duration::from_secs(12 * 3600);
/// The most sessions; the least recently used is dropped first.
const SESSIONS_MAX: usize = 10_000;
/// The most attempts at one name's password within [`TRIES_WITHIN`].
const TRIES_MAX: u32 = 5;
const TRIES_WITHIN: Duration = Duration::from_secs(60);

/// The user who makes a request.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Their name; none without a file of users.
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) tenants: Option<BTreeSet<String>>,
    /// Must come back with their forms, against forgery; none for a token, which has no forms.
    pub(crate) form_key: Option<String>,
}

impl Visitor {
    /// Whether they may see a tenant.
    pub(crate) fn may_see(&self, slug: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(slug))
    }

    /// Whether they may see all tenants, and what belongs to none.
    pub(crate) fn sees_all(&self) -> bool {
        self.tenants.is_none()
    }

    /// Refuses users who may see some tenants only.
    pub(crate) fn must_see_all(&self) -> Result<(), Problem> {
        match self.sees_all() {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "your role is limited to some tenants; name one of them",
            )),
        }
    }

    /// Whether they may change anything.
    pub(crate) fn may_change(&self) -> bool {
        self.role == Role::Operator
    }

    /// Their name in the audit.
    pub(crate) fn actor(&self) -> String {
        format!("web:{}", self.name.as_deref().unwrap_or("loopback"))
    }
}

/// Authenticates visitors.
pub(crate) struct Access {
    file: Option<Mutex<File>>,
    clock: Clock,
    random: Random,
    /// Signs form keys; new at every start.
    key: hmac::Key,
    /// By the hash of the cookie.
    sessions: Mutex<HashMap<String, Session>>,
    tries: Mutex<HashMap<String, Tries>>,
}

/// The file of users, as last read.
struct File {
    path: PathBuf,
    /// Changes with the file.
    mark: Option<Mark>,
    users: Arc<Vec<User>>,
}

impl File {
    fn read(path: &Path) -> Result<File, Failure> {
        // The mark first: the file is read again if it is written meanwhile.
        let mark = mark(path);
        Ok(File { path: path.to_owned(), mark, users: Arc::new(read(path)?) })
    }
}

/// When a file was written, and its length.
type Mark = (SystemTime, u64);

fn mark(path: &Path) -> Option<Mark> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

struct Session {
    user: String,
    used: BootTime,
}

#[derive(Clone, Copy)]
struct Tries {
    count: u32,
    since: BootTime,
}

impl Access {
    /// With the users of this file; open if there is none.
    pub(crate) fn new(
        file: Option<&Path>,
        clock: Clock,
        random: Random,
    ) -> Result<Access, Failure> {
        let file = file.map(File::read).transpose()?.map(Mutex::new);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>());
        let (sessions, tries) = (Mutex::default(), Mutex::default());
        Ok(Access { file, clock, random, key, sessions, tries })
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
        let mark = mark(&file.path);
        if mark == file.mark {
            return;
        }
        file.mark = mark;
        match read(&file.path) {
            Ok(users) => {
                let stays = |session: &Session| {
                    let named = |users: &[User]| {
                        users.iter().find(|user| user.name == session.user).cloned()
                    };
                    named(&users) == named(&file.users)
                };
                lock(&self.sessions).retain(|_, session| stays(session));
                file.users = Arc::new(users);
                info!("the file of users was read again");
            }
            Err(failure) => error!("the users stay as they were: {failure}"),
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
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
        let (user, form_key) = match bearer {
            Some(token) => {
                let hash = secret::of_token(token.trim());
                (users.iter().find(|user| user.token.as_ref() == Some(&hash))?, None)
            }
            None => {
                let id = session_id(text(header::COOKIE)?)?;
                let name = self.of_session(id)?;
                (users.iter().find(|user| user.name == name)?, Some(self.form_key(id)))
            }
        };
        let User { name, role, tenants, .. } = user.clone();
        Some(Visitor { name: Some(name), role, tenants, form_key })
    }

    /// Signs a user in, and returns the value of their cookie.
    pub(crate) async fn sign_in(&self, name: &str, password: String) -> Result<String, Refusal> {
        if !self.may_try(name) {
            return Err(Refusal::TooOften);
        }
        let users = self.users().unwrap_or_default();
        let user = users.iter().find(|user| user.name == name);
        let hash = user.and_then(|user| user.password.clone());
        // Takes equally long for an unknown name.
        let hash = hash.unwrap_or_else(|| secret::NOBODY.to_owned());
        let checked = tokio::task::spawn_blocking(move || secret::is_password(&password, &hash));
        if !checked.await.unwrap_or(false) {
            return Err(Refusal::Wrong);
        }
        self.tries().remove(name);
        let id = hex(&self.random.bytes::<32>());
        let session = Session { user: name.to_owned(), used: self.clock.boot_time() };
        let mut sessions = self.sessions();
        if sessions.len() >= SESSIONS_MAX {
            let least_used = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(key) = least_used.map(|(key, _)| key.clone()) {
                sessions.remove(&key);
            }
        }
        sessions.insert(secret::of_token(&id), session);
        Ok(id)
    }

    /// Ends a session.
    pub(crate) fn sign_out(&self, headers: &HeaderMap) {
        let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
        if let Some(id) = cookie.and_then(session_id) {
            self.sessions().remove(&secret::of_token(id));
        }
    }

    fn of_session(&self, id: &str) -> Option<String> {
        let now = self.clock.boot_time();
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&secret::of_token(id))?;
        if now - session.used > IDLE_LIMIT {
            return None;
        }
        session.used = now;
        Some(session.user.clone())
    }

    /// The form key of a session, which no other site can know.
    fn form_key(&self, session: &str) -> String {
        hex(hmac::sign(&self.key, session.as_bytes()).as_ref())
    }

    /// Counts an attempt. Unknown names are counted together: they must take no memory.
    fn may_try(&self, name: &str) -> bool {
        let users = self.users().unwrap_or_default();
        let name = if users.iter().any(|user| user.name == name) { name } else { "" };
        let now = self.clock.boot_time();
        let mut tries = self.tries();
        let tries = tries.entry(name.to_owned()).or_insert(Tries { count: 0, since: now });
        if now - tries.since > TRIES_WITHIN {
            *tries = Tries { count: 0, since: now };
        }
        tries.count += 1;
        tries.count <= TRIES_MAX
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        lock(&self.sessions)
    }

    fn tries(&self) -> MutexGuard<'_, HashMap<String, Tries>> {
        lock(&self.tries)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a user was not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Wrong name or password.
    Wrong,
    /// Too many attempts.
    TooOften,
}

fn session_id(cookies: &str) -> Option<&str> {
    let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn read(path: &Path) -> Result<Vec<User>, Failure> {
    let wrong = |what: String| {
        Failure::Usage(format!("POLYCHRON_USERS names {}, which {what}", path.display()))
    };
    let text = private_file::read(path).map_err(|error| wrong(error.to_string()))?;
    // TOML's full error repeats the line, which may hold a hash; its message alone does not.
    let users: Users = toml::from_str(&text)
        .map_err(|error| wrong(format!("is no file of users: {}", error.message())))?;
    let mut names = BTreeSet::new();
    for User { name, password, token, .. } in &users.user {
        if name.is_empty() || !names.insert(name) {
            return Err(wrong(format!("has no name for a user, or twice the name `{name}`")));
        }
        if password.is_none() && token.is_none() {
            return Err(wrong(format!("gives user `{name}` neither a password nor a token")));
        }
        let is_sound = password.as_ref().is_none_or(|password| secret::is_hash(password))
            && token.as_ref().is_none_or(|token| token.starts_with(secret::TOKEN));
        if !is_sound {
            let remedy = "`polychron user new` makes it";
            return Err(wrong(format!("holds no hash for user `{name}`: {remedy}")));
        }
    }
    match users.user.is_empty() {
        true => Err(wrong("names nobody".to_owned())),
        false => Ok(users.user),
    }
}
