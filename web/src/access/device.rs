//! Known browsers: a cookie that outlives the session shows that a user has signed in there before.
//! It does not sign a user in, but strangers' attempts at that user's password do not count against it.
//!
//! The cookie is `ID.MAC`. The key of the MAC is the hash of the user's password, so that it holds
//! across restarts, for that user only, and until the password changes.

use ring::hmac;

use crate::secret::{bytes, hex};
use crate::user::User;

/// The cookie's name.
pub(crate) const COOKIE: &str = "polychron_device";
/// The longest id that is accepted.
const ID_CHARS_MAX: usize = 64;

/// The cookie's value for a browser in which a user signs in.
pub(super) fn cookie(user: &User, id: &str) -> String {
    format!("{id}.{}", hex(hmac::sign(&key(user), &signed(id)).as_ref()))
}

/// The id of the browser, if the cookie's value shows that this user has signed in there.
pub(super) fn of<'a>(user: &User, value: &'a str) -> Option<&'a str> {
    let (id, mac) = value.split_once('.').filter(|(id, _)| id.len() <= ID_CHARS_MAX)?;
    hmac::verify(&key(user), &signed(id), &bytes(mac)?).ok()?;
    Some(id)
}

fn key(user: &User) -> hmac::Key {
    let hash = user.password.as_deref().unwrap_or_default();
    hmac::Key::new(hmac::HMAC_SHA256, hash.as_bytes())
}

fn signed(id: &str) -> Vec<u8> {
    [b"polychron device ", id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Role;

    fn user(password: &str) -> User {
        let password = Some(password.to_owned());
        User {
            name: "ann".to_owned(),
            role: Role::Viewer,
            tenants: None,
            password,
            token: None,
            revoked: false,
        }
    }

    #[test]
    fn a_browser_is_known_to_the_user_who_signed_in_until_the_password_changes() {
        let cookie = cookie(&user("hash"), "7f");
        assert_eq!(of(&user("hash"), &cookie), Some("7f"));
        assert_eq!(of(&user("another"), &cookie), None);
        for forged in ["", "7f", "7f.", "7f.00", "7f.zz", &cookie.replace("7f.", "8f.")] {
            assert_eq!(of(&user("hash"), forged), None, "{forged}");
        }
    }
}
