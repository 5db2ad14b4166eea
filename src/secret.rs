//! A secret that proves who made an entry, and the hash that is all anybody else keeps of it.

mod password;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use password::{MAX_PASSWORD, MIN_PASSWORD, Password, PasswordError, PasswordHash};

/// A bearer secret: 1 to 512 characters of RFC 6750's `b64token` alphabet. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(Box<str>);

/// The text cannot be sent as a bearer token (RFC 6750, section 2.1).
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("a secret is 1 to {MAX_SECRET} characters of A-Z a-z 0-9 - . _ ~ + / with '=' only at its end")]
pub struct SecretError;

/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 512;

impl Secret {
    /// Takes a secret that somebody else made.
    ///
    /// # Errors
    /// [`SecretError`] when it is empty, too long, or could not travel in an `Authorization` header.
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        let body = secret.trim_end_matches('=');
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if body.is_empty() || secret.len() > MAX_SECRET || !body.bytes().all(fits) {
            return Err(SecretError);
        }
        Ok(Self(secret.into()))
    }

    /// Makes a secret of 256 random bits from the operating system.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can be done then.
    #[must_use]
    pub fn random() -> Self {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).expect("the operating system gives randomness");
        Self(bits.iter().map(|b| format!("{b:02x}")).collect::<String>().into())
    }

    /// The secret itself, for a header or a private file. Never put it into a URL or a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash to store.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(blake3::hash(self.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = SecretError;
    fn from_str(secret: &str) -> Result<Self, SecretError> {
        Self::new(secret)
    }
}

/// The BLAKE3 hash of a [`Secret`]; comparing two takes the same time wherever they differ.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SecretHash(blake3::Hash);

impl SecretHash {
    /// Takes the 32 bytes of a stored hash.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(bytes))
    }

    /// The 32 bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let secret = Secret::new("hunter2").unwrap();
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "Secret(..) SecretHash(..)");
    }

    #[test]
    fn random_secrets_differ_and_travel_in_a_header() {
        let (one, two) = (Secret::random(), Secret::random());
        assert_ne!(one.hash(), two.hash());
        assert!(Secret::new(one.reveal()).is_ok());
    }

    #[test]
    fn secrets_that_a_header_could_not_carry_are_refused() {
        for bad in ["", "=", "a b", "a=b", "a\n", "ä", &"x".repeat(513)] {
            assert!(Secret::new(bad).is_err(), "{bad:?}");
        }
    }
}
