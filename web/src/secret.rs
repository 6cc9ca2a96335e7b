//! Passwords and tokens, of which only hashes are kept.

use std::num::NonZeroU32;

use ring::{digest, pbkdf2};

/// The prefix of a token's hash. One iteration is enough for 256 random bits.
pub(crate) const TOKEN: &str = "sha256$";
/// The prefix of a password's hash.
const PASSWORD: &str = "pbkdf2-sha256$";
/// The number of iterations that OWASP's Password Storage Cheat Sheet recommends (2023).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("is not zero");
/// The most iterations that are accepted: a file of users could otherwise exhaust the processor.
const ITERATIONS_MAX: u32 = 10_000_000;
/// The hash of a password, with its salt.
pub(crate) fn of_password(password: &str, salt: [u8; 16]) -> String {
    let mut hash = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), &mut hash);
    format!("{PASSWORD}{ITERATIONS}${}${}", hex(&salt), hex(&hash))
}

/// Whether a password has this hash. Takes a large part of a second.
pub(crate) fn is_password(password: &str, hash: &str) -> bool {
    let Some((iterations, salt, hash)) = parts(hash) else { return false };
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::verify(algorithm, iterations, &salt, password.as_bytes(), &hash).is_ok()
}

/// Whether the text is the hash of a password.
pub(crate) fn is_hash(text: &str) -> bool {
    parts(text).is_some()
}

fn parts(text: &str) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
    let mut parts = text.strip_prefix(PASSWORD)?.split('$');
    let iterations: NonZeroU32 = parts.next()?.parse().ok()?;
    let (salt, hash) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
    let is_sound = iterations.get() <= ITERATIONS_MAX && salt.len() >= 16 && hash.len() == 32;
    (is_sound && parts.next().is_none()).then_some((iterations, salt, hash))
}

/// A hash that no password has, and that takes as long to compare as `like`.
pub(crate) fn decoy(like: &str) -> String {
    let iterations = parts(like).map_or(ITERATIONS, |(iterations, _, _)| iterations);
    format!("{PASSWORD}{iterations}${}${}", hex(&[0; 16]), hex(&[0; 32]))
}

/// The hash of a token.
pub(crate) fn of_token(token: &str) -> String {
    format!("{TOKEN}{}", hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref()))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal stands for.
pub(crate) fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_own_password_only() {
        // Few iterations: a test need not be slow.
        let mut hash = [0; 32];
        let iterations = NonZeroU32::new(2).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &[7; 16], b"secret", &mut hash);
        let hash = format!("{PASSWORD}2${}${}", hex(&[7; 16]), hex(&hash));
        assert!(is_hash(&hash) && is_password("secret", &hash) && !is_password("Secret", &hash));
        let decoy = decoy(&hash);
        assert!(decoy.starts_with("pbkdf2-sha256$2$") && !is_password("secret", &decoy));
        assert!(is_hash(&decoy) && is_hash(&super::decoy("")));
        for odd in ["", "secret", "pbkdf2-sha256$0$00$00", "pbkdf2-sha256$2$zz$zz", &hash[..60]] {
            assert!(!is_hash(odd) && !is_password("secret", odd), "{odd}");
        }
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        // FIPS 180-4's own example.
        let abc = "sha256$ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_token("abc"), abc);
    }
}
