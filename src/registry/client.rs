//! The registry asked over HTTP, whoever made it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use thiserror::Error;
use tracing::debug;

use crate::address::{Address, Entry};
use crate::codec::registry::{self as codec, MEDIA_TYPE_V1, MEDIA_TYPE_V2, Version};
use crate::limits::Limits;
use crate::name::UserName;
use crate::net::backoff::Backoff;
use crate::net::base::{WANTED, parse_base, without_secrets};
use crate::net::client::{HttpClient, NoReply, Reply};
use crate::secret::Secret;
use crate::text::SafeText;

/// Asks one registry. Cloning shares the connections and what was learnt about the registry.
///
/// It speaks to registries of other makes too: what they do not know of version 2 is said again in version 1, and
/// remembered for the life of the client. A request that may safely come twice is repeated up to twice when the
/// connection fails or the registry is overloaded, after a short pause that grows.
///
/// # Cancel safety
/// Dropping a request's future closes its connection; the registry may have carried the request out.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    http: HttpClient,
    base: Arc<str>,
    learnt: Arc<Learnt>,
    /// Users that a list may hold.
    users: usize,
}

/// Why the registry did not do what it was asked. What it said itself is shown harmless and shortened.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The address of the registry cannot be used: correct it.
    #[error("{url:?} is no address of a registry: {reason}")]
    BadUrl {
        /// What was given, but for a user and a password in it.
        url: String,
        /// What would be right.
        reason: &'static str,
    },
    /// Somebody else has this name: choose another.
    #[error("this name is taken")]
    Taken,
    /// The entry belongs to another secret: it is not ours to change.
    #[error("this entry belongs to somebody else")]
    Forbidden,
    /// The registry understood and said no: do not repeat the request.
    #[error("the registry refused ({status}): {}", SafeText(.detail))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        detail: String,
    },
    /// A registry of another make that cannot do this: live without it.
    #[error("this registry cannot do that ({status}): {}", SafeText(.detail))]
    Unsupported {
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        detail: String,
    },
    /// The registry has too much to do, or is stopping: try again in some seconds.
    #[error("the registry is busy ({status}): {}", SafeText(.detail))]
    Busy {
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        detail: String,
    },
    /// The registry has no room for another user: try again later.
    #[error("the registry is full: {}", SafeText(.detail))]
    Full {
        /// What the registry said.
        detail: String,
    },
    /// Nobody answers there, or the connection broke: try again later. A change may have been carried out if the
    /// connection broke.
    #[error("cannot reach the registry at {base}: {}", SafeText(.reason))]
    Unreachable {
        /// The registry.
        base: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time: a change may have been carried out.
    #[error("no answer from the registry at {base} in time")]
    TimedOut {
        /// The registry.
        base: String,
    },
    /// What came is no answer of a registry: something else listens there.
    #[error("what came from {base} is no answer of a registry: {}", SafeText(.reason))]
    Malformed {
        /// The registry.
        base: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RegistryError {
    /// A stable word for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "bad_url",
            Self::Taken => "taken",
            Self::Forbidden => "forbidden",
            Self::Refused { .. } => "refused",
            Self::Unsupported { .. } => "unsupported",
            Self::Busy { .. } => "busy",
            Self::Full { .. } => "full",
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// What the answers of this registry have shown.
#[derive(Debug, Default)]
struct Learnt {
    /// It does not take version 2.
    plain: AtomicBool,
    /// It has `GET /v1/users/{user}`, so that a 404 there speaks of the user.
    one: AtomicBool,
    /// It does not have `GET /v1/users/{user}`.
    no_one: AtomicBool,
    /// Its list stands only at `/v1/users/`.
    slash: AtomicBool,
}

/// A request that can be built again for each try.
struct Call<'a> {
    method: Method,
    path: String,
    secret: Option<&'a Secret>,
    body: Option<Bytes>,
    version: Version,
}

impl RegistryClient {
    /// A client for the registry at `base`: `http://host[:port][/prefix]`, with or without a slash at the end.
    ///
    /// # Errors
    /// [`RegistryError::BadUrl`].
    pub fn new(base: &str) -> Result<Self, RegistryError> {
        Self::with_limits(base, &Limits::default())
    }

    /// The same under other limits: `connect_timeout`, `request_timeout`, `http_response` and `users` count here.
    ///
    /// # Errors
    /// [`RegistryError::BadUrl`].
    pub fn with_limits(base: &str, limits: &Limits) -> Result<Self, RegistryError> {
        let base = parse_base(base).map_err(|reason| RegistryError::BadUrl { url: without_secrets(base), reason })?;
        Ok(Self { http: HttpClient::new(limits), base: base.into(), learnt: Arc::default(), users: limits.users })
    }

    /// The registry's address, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks whether the registry is there.
    ///
    /// # Errors
    /// [`RegistryError`] when it is not, or is not well.
    pub async fn health(&self) -> Result<(), RegistryError> {
        let reply = self.repeat(&Call::get("/v1/health".into(), Version::V1)).await?;
        done(&reply)
    }

    /// Registers a name that must be free, or is owned by `secret`.
    ///
    /// `ttl` is a lease in seconds; without one the entry stands until it is removed.
    ///
    /// # Errors
    /// [`RegistryError::Taken`], and whatever else may befall a request. It is repeated only when the registry did
    /// not take the connection.
    pub async fn insert(
        &self,
        name: &UserName,
        entry: &Entry,
        secret: Option<&Secret>,
        ttl: Option<u32>,
    ) -> Result<(), RegistryError> {
        let path = format!("/v1/users{}", query(ttl));
        self.place(Method::POST, path, entry, secret, |version| codec::encode_post(name, entry, version)).await
    }

    /// Puts an entry under a name, whether there was one or not.
    ///
    /// An entry without features leaves the ones that stand, if the address stays the same.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] when the name belongs to another secret, and whatever else may befall a request.
    pub async fn upsert(
        &self,
        name: &UserName,
        entry: &Entry,
        secret: Option<&Secret>,
        ttl: Option<u32>,
    ) -> Result<(), RegistryError> {
        let path = format!("/v1/users/{name}{}", query(ttl));
        self.place(Method::PUT, path, entry, secret, |version| codec::encode_put(entry, version)).await
    }

    /// Renews the lease of an entry without touching its features; creates it when it is gone.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] when the name belongs to another secret, and whatever else may befall a request.
    pub async fn renew(
        &self,
        name: &UserName,
        address: &Address,
        secret: Option<&Secret>,
        ttl: Option<u32>,
    ) -> Result<(), RegistryError> {
        let version = if address.protocol().is_standard() { Version::V1 } else { Version::V2 };
        let path = format!("/v1/users/{name}{}", query(ttl));
        let body = Some(codec::encode_renewal(address).into());
        done(&self.repeat(&Call { method: Method::PUT, path, secret, body, version }).await?)
    }

    /// Removes an entry; it is no error when there is none.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] when it belongs to another secret, and whatever else may befall a request.
    pub async fn remove(&self, name: &UserName, secret: Option<&Secret>) -> Result<(), RegistryError> {
        let path = format!("/v1/users/{name}");
        let call = Call { method: Method::DELETE, path, secret, body: None, version: Version::V1 };
        let reply = self.repeat(&call).await?;
        // Other makes say so for an absent user and for a method that they do not have: the list knows which.
        if reply.status == StatusCode::NOT_FOUND && self.list().await.is_ok_and(|users| !users.contains_key(name)) {
            return Ok(());
        }
        done(&reply)
    }

    /// One user's entry; `None` when there is none. From a registry that only has a list, it is taken from that.
    ///
    /// # Errors
    /// [`RegistryError`]; among them [`RegistryError::Malformed`] when the entry is none that this crate can express.
    pub async fn get(&self, name: &UserName) -> Result<Option<Entry>, RegistryError> {
        if self.learnt.no_one.load(Ordering::Relaxed) {
            return Ok(self.list().await?.remove(name));
        }
        let reply = self.read(format!("/v1/users/{name}")).await?;
        let absent = matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if absent && reply.status == StatusCode::NOT_FOUND && self.learnt.one.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if absent {
            let found = self.list().await?.remove(name);
            if found.is_some() || reply.status == StatusCode::METHOD_NOT_ALLOWED {
                self.learnt.no_one.store(true, Ordering::Relaxed);
            }
            return Ok(found);
        }
        done(&reply)?;
        let entry = codec::decode_entry(&reply.body).map_err(|error| self.malformed(error))?;
        self.learnt.one.store(true, Ordering::Relaxed);
        Ok(Some(entry))
    }

    /// All users, sorted by name. Entries that this crate cannot express are left out.
    ///
    /// # Errors
    /// [`RegistryError`]; among them [`RegistryError::Malformed`] for more than [`Limits::users`].
    pub async fn list(&self) -> Result<BTreeMap<UserName, Entry>, RegistryError> {
        let slash = self.learnt.slash.load(Ordering::Relaxed);
        let mut reply = self.read(if slash { "/v1/users/" } else { "/v1/users" }.into()).await?;
        if !slash && (reply.status.is_redirection() || reply.status == StatusCode::NOT_FOUND) {
            let other = self.read("/v1/users/".into()).await?;
            if other.status.is_success() {
                self.learnt.slash.store(true, Ordering::Relaxed);
                reply = other;
            }
        }
        done(&reply)?;
        codec::decode_users(&reply.body, self.users).map_err(|error| self.malformed(error))
    }

    /// Says where a user is: in version 2 if that says more and the registry takes it.
    async fn place(
        &self,
        method: Method,
        path: String,
        entry: &Entry,
        secret: Option<&Secret>,
        body: impl Fn(Version) -> Option<Vec<u8>>,
    ) -> Result<(), RegistryError> {
        let plain = body(Version::V1).map(Bytes::from);
        let v2 = plain.is_none() || !(entry.features.is_empty() || self.learnt.plain.load(Ordering::Relaxed));
        let (version, first) = match (&plain, v2) {
            (Some(plain), false) => (Version::V1, Some(plain.clone())),
            _ => (Version::V2, body(Version::V2).map(Bytes::from)),
        };
        let mut call = Call { method, path, secret, body: first, version };
        let mut reply = self.repeat(&call).await?;
        if v2 && is_stranger(reply.status) {
            let Some(plain) = plain else { return Err(unsupported(&reply)) };
            (call.body, call.version) = (Some(plain), Version::V1);
            reply = self.repeat(&call).await?;
            self.learn_plain(&reply);
        }
        done(&reply)
    }

    /// Reads in version 2, or in version 1 where that is not known.
    async fn read(&self, path: String) -> Result<Reply, RegistryError> {
        let plain = self.learnt.plain.load(Ordering::Relaxed);
        let mut call = Call::get(path, if plain { Version::V1 } else { Version::V2 });
        let mut reply = self.repeat(&call).await?;
        if !plain && is_stranger(reply.status) {
            call.version = Version::V1;
            reply = self.repeat(&call).await?;
            self.learn_plain(&reply);
        }
        Ok(reply)
    }

    /// A registry that is merely broken answers version 1 no better, and is asked in version 2 again.
    fn learn_plain(&self, reply: &Reply) {
        if !is_stranger(reply.status) && !reply.status.is_server_error() {
            debug!(base = %self.base, "this registry takes version 1 only");
            self.learnt.plain.store(true, Ordering::Relaxed);
        }
    }

    /// Sends a request, again where that is safe and may help.
    async fn repeat(&self, call: &Call<'_>) -> Result<Reply, RegistryError> {
        let (mut tries, mut pauses) = (0, Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
        loop {
            let result = self.http.ask(self.request(call)?).await;
            let again = match &result {
                Err(NoReply::Unreachable(_)) => true,
                Err(NoReply::Broken(_)) => call.is_idempotent(),
                Ok(reply) => call.is_idempotent() && is_passing(reply.status),
                Err(NoReply::Garbage(_) | NoReply::TimedOut) => false,
            };
            if !again || tries == RETRIES {
                let base = self.base.to_string();
                return result.map_err(|error| match error {
                    NoReply::Unreachable(reason) | NoReply::Broken(reason) => {
                        RegistryError::Unreachable { base, reason }
                    }
                    NoReply::Garbage(reason) => RegistryError::Malformed { base, reason },
                    NoReply::TimedOut => RegistryError::TimedOut { base },
                });
            }
            tokio::time::sleep(pauses.next()).await;
            tries += 1;
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, RegistryError> {
        let media_type = match call.version {
            Version::V1 => MEDIA_TYPE_V1,
            Version::V2 => MEDIA_TYPE_V2,
        };
        let accept = match call.version {
            Version::V1 => MEDIA_TYPE_V1,
            Version::V2 => ACCEPT_V2,
        };
        let mut request =
            Request::builder().method(&call.method).uri(format!("{}{}", self.base, call.path)).header(ACCEPT, accept);
        if let Some(secret) = call.secret {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret.reveal()));
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, media_type);
        }
        let body = Full::new(call.body.clone().unwrap_or_default());
        request.body(body).map_err(|_| RegistryError::BadUrl { url: self.base.to_string(), reason: WANTED })
    }

    fn malformed(&self, error: crate::codec::CodecError) -> RegistryError {
        RegistryError::Malformed { base: self.base.to_string(), reason: error.to_string() }
    }
}

impl Call<'_> {
    fn get(path: String, version: Version) -> Self {
        Self { method: Method::GET, path, secret: None, body: None, version }
    }

    fn is_idempotent(&self) -> bool {
        self.method != Method::POST
    }
}

fn query(ttl: Option<u32>) -> String {
    ttl.map(|ttl| format!("?ttl={ttl}")).unwrap_or_default()
}

/// How registries of other makes answer version 2.
fn is_stranger(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::INTERNAL_SERVER_ERROR
    )
}

/// Whether the next moment may bring something else.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn done(reply: &Reply) -> Result<(), RegistryError> {
    let status = reply.status.as_u16();
    match reply.status {
        ok if ok.is_success() => Ok(()),
        StatusCode::CONFLICT => Err(RegistryError::Taken),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(RegistryError::Forbidden),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Err(RegistryError::Busy { status, detail: reply.detail() })
        }
        StatusCode::INSUFFICIENT_STORAGE => Err(RegistryError::Full { detail: reply.detail() }),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(unsupported(reply)),
        broken if broken.is_server_error() && reply.body.is_empty() => Err(unsupported(reply)),
        _ => Err(RegistryError::Refused { status, detail: reply.detail() }),
    }
}

fn unsupported(reply: &Reply) -> RegistryError {
    RegistryError::Unsupported { status: reply.status.as_u16(), detail: reply.detail() }
}

const ACCEPT_V2: &str = "application/vnd.talk.v2+json, application/json;q=0.5";
const RETRIES: u32 = 2;
/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_http_url_without_a_query() {
        for (given, kept) in [
            ("http://127.0.0.1:8088", "http://127.0.0.1:8088"),
            ("HTTP://registry.example/", "http://registry.example"),
            ("http://[::1]:1/chat/", "http://[::1]:1/chat"),
        ] {
            assert_eq!(RegistryClient::new(given).unwrap().base(), kept);
        }
        for bad in [
            "",
            "registry",
            "127.0.0.1:8088",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://u:p@a",
            "http://a?x=1",
            "http://a/#x",
            "http://a b",
            "http:///x",
        ] {
            assert_eq!(RegistryClient::new(bad).unwrap_err().code(), "bad_url", "{bad}");
        }
    }

    #[test]
    fn a_password_in_a_base_is_not_said_again() {
        for given in
            ["http://ann:secret@host", "https://ann:se/cret@host:1/x", "ann:secret@host", "http://secret#@host"]
        {
            let said = format!("{0} {0:?}", RegistryClient::new(given).unwrap_err());
            assert!(!said.contains("cret") && !said.contains("ann") && said.contains("@host"), "{said}");
        }
        assert!(RegistryClient::new("ftp://host").unwrap_err().to_string().contains("ftp://host"));
    }

    #[test]
    fn tls_is_refused_with_a_reason() {
        let error = RegistryClient::new("https://registry.example").unwrap_err();
        assert!(error.to_string().contains("TLS is not supported"), "{error}");
    }

    #[test]
    fn what_a_registry_says_is_shown_harmless() {
        let refused = RegistryError::Refused { status: 400, detail: "a\u{1b}[2J\nb".into() };
        assert_eq!(refused.to_string(), "the registry refused (400): a\u{fffd}[2J b");
    }
}
