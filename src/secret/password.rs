//! An account's secret, which a person chose, and what is kept of it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;

use super::SecretHash;

/// An account's secret: 8 to 128 characters of any kind. Its `Debug` shows nothing.
///
/// Unlike a [`Secret`](super::Secret), which is random, it may be guessed; so what is kept of it is slow to compute.
#[derive(Clone)]
pub struct Password(Box<str>);

/// The text is too short or too long for an account's secret.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("an account's secret has {MIN_PASSWORD} to {MAX_PASSWORD} characters")]
pub struct PasswordError;

/// The shortest account secret, in characters.
pub const MIN_PASSWORD: usize = 8;
/// The longest account secret, in characters.
pub const MAX_PASSWORD: usize = 128;

impl Password {
    /// Takes what somebody typed, as it is.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn new(password: &str) -> Result<Self, PasswordError> {
        if password.len() > 4 * MAX_PASSWORD || !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.chars().count()) {
            return Err(PasswordError);
        }
        Ok(Self(password.into()))
    }

    /// The secret as text, for the one place that sends it.
    #[cfg(feature = "net")]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash to keep, with a new salt. It takes 19 MiB and some hundredths of a second: not for an async thread.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can be done then.
    #[must_use]
    pub fn hash(&self) -> PasswordHash {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the operating system gives randomness");
        PasswordHash { salt, hash: self.salted(&salt) }
    }

    /// Whether this is the password that was hashed. As slow as [`hash`](Self::hash), right or wrong.
    #[must_use]
    pub fn is(&self, hash: &PasswordHash) -> bool {
        self.salted(&hash.salt) == hash.hash
    }

    /// Its hash as a [`Secret`](super::Secret)'s, to compare where it may be a random secret that a program made.
    #[must_use]
    pub fn as_key(&self) -> SecretHash {
        SecretHash(blake3::hash(self.0.as_bytes()))
    }

    fn salted(&self, salt: &[u8; 16]) -> blake3::Hash {
        let mut hash = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS);
        argon2.hash_password_into(self.0.as_bytes(), salt, &mut hash).expect("lengths and costs are in range");
        // For its comparison, which takes the same time wherever two differ.
        blake3::Hash::from_bytes(hash)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What is kept of a [`Password`]: its Argon2id hash (RFC 9106; 19 MiB, two passes, one lane) and the salt.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct PasswordHash {
    salt: [u8; 16],
    hash: blake3::Hash,
}

impl PasswordHash {
    /// Takes a stored hash: the salt's 16 bytes, then the hash's 32.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 48]) -> Self {
        let (mut salt, mut hash) = ([0; 16], [0; 32]);
        salt.copy_from_slice(&bytes[..16]);
        hash.copy_from_slice(&bytes[16..]);
        Self { salt, hash: blake3::Hash::from_bytes(hash) }
    }

    /// The bytes to store.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&self.salt);
        bytes[16..].copy_from_slice(self.hash.as_bytes());
        bytes
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What OWASP asks for at least: 19 MiB, two passes, one lane. Changing it makes stored hashes useless: a new version of
/// the stores' data would have to say by which it was made.
const PARAMS: Params = Params::DEFAULT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_recognised_by_its_hash_and_each_hash_is_salted() {
        let password = Password::new("correct horse").unwrap();
        let hash = password.hash();
        assert!(password.is(&PasswordHash::from_bytes(hash.to_bytes())));
        assert!(!Password::new("correct horsf").unwrap().is(&hash));
        assert_ne!(password.hash(), hash);
        assert_eq!(format!("{password:?} {hash:?}"), "Password(..) PasswordHash(..)");
        assert_eq!((PARAMS.m_cost(), PARAMS.t_cost(), PARAMS.p_cost()), (19 * 1024, 2, 1));
    }

    #[test]
    fn length_is_counted_in_characters() {
        for good in ["12345678", "ääääääää", &"𝄞".repeat(128)] {
            assert!(Password::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1234567", "äääää", &"x".repeat(129)] {
            assert_eq!(Password::new(bad).unwrap_err(), PasswordError, "{bad}");
        }
    }
}
