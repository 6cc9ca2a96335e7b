//! Who is signed in. Sessions are kept in memory only: a restart signs all users out.

use std::collections::HashMap;
use std::time::Duration;

use shared::clock::BootTime;

use crate::secret;

/// How long an idle session lasts.
const IDLE_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// The most sessions; the least recently used is dropped first.
const SESSIONS_MAX: usize = 10_000;

/// The sessions, by the hash of the cookie.
pub(super) struct Sessions {
    sessions: HashMap<String, Session>,
    /// How long one lasts, however much it is used.
    limit: Duration,
}

struct Session {
    user: String,
    began: BootTime,
    used: BootTime,
}

impl Sessions {
    pub(super) fn new(limit: Duration) -> Sessions {
        Sessions { sessions: HashMap::new(), limit }
    }

    /// Begins a session with the value of a new cookie.
    pub(super) fn begin(&mut self, now: BootTime, cookie: &str, user: &str) {
        let limit = self.limit;
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.retain(|_, session| session.is_alive(now, limit));
        }
        if self.sessions.len() >= SESSIONS_MAX {
            let least_used = self.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(key) = least_used.map(|(key, _)| key.clone()) {
                self.sessions.remove(&key);
            }
        }
        let session = Session { user: user.to_owned(), began: now, used: now };
        self.sessions.insert(secret::of_token(cookie), session);
    }

    /// The user of a session that has not ended, which this use keeps from idling.
    pub(super) fn user(&mut self, now: BootTime, cookie: &str) -> Option<String> {
        let key = secret::of_token(cookie);
        let session = self.sessions.get_mut(&key)?;
        if !session.is_alive(now, self.limit) {
            self.sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.user.clone())
    }

    /// Ends a session.
    pub(super) fn end(&mut self, cookie: &str) {
        self.sessions.remove(&secret::of_token(cookie));
    }

    /// Ends the sessions of users for whom `stays` is false, and counts them.
    pub(super) fn end_unless(&mut self, stays: impl Fn(&str) -> bool) -> usize {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| stays(&session.user));
        before - self.sessions.len()
    }
}

impl Session {
    fn is_alive(&self, now: BootTime, limit: Duration) -> bool {
        now - self.used <= IDLE_LIMIT && now - self.began <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn after(seconds: u64) -> BootTime {
        BootTime::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_ends_after_idling_and_at_its_limit_however_much_it_is_used() {
        let mut sessions = Sessions::new(Duration::from_secs(12 * HOUR));
        sessions.begin(BootTime::ZERO, "used", "ann");
        sessions.begin(BootTime::ZERO, "idle", "ann");
        for hours in 1..=12 {
            assert_eq!(sessions.user(after(hours * HOUR), "used").as_deref(), Some("ann"));
        }
        assert_eq!(sessions.user(after(12 * HOUR + 1), "used"), None);
        assert_eq!(sessions.user(after(2 * HOUR + 1), "idle"), None);
        assert_eq!(sessions.user(BootTime::ZERO, "none"), None);
    }

    #[test]
    fn sessions_of_users_who_changed_end() {
        let mut sessions = Sessions::new(Duration::from_secs(HOUR));
        for (cookie, user) in [("1", "ann"), ("2", "ann"), ("3", "sue")] {
            sessions.begin(BootTime::ZERO, cookie, user);
        }
        assert_eq!(sessions.end_unless(|user| user != "ann"), 2);
        assert_eq!(sessions.user(BootTime::ZERO, "1"), None);
        assert!(sessions.user(BootTime::ZERO, "3").is_some());
        sessions.end("3");
        assert_eq!(sessions.user(BootTime::ZERO, "3"), None);
    }

    #[test]
    fn signing_in_without_end_does_not_fill_the_memory() {
        let mut sessions = Sessions::new(Duration::from_secs(HOUR));
        for n in 0..SESSIONS_MAX + 100 {
            sessions.begin(BootTime::ZERO, &n.to_string(), "ann");
        }
        assert_eq!(sessions.sessions.len(), SESSIONS_MAX);
    }
}
