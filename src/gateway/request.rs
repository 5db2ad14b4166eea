//! What requests to a room server say: hosts, origins, nicknames, tokens.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use serde_json::Value;

use crate::codec::json;
use crate::codec::rooms::{Mode, SUBPROTOCOL};
use crate::net::exchange::Text;
use crate::net::http::{Problem, media_type, percent_decode};
use crate::secret::Secret;

/// Whether the one `Host` is this machine or a configured name: a stranger's name that resolves to us would let a
/// stranger's page talk to us.
pub(super) fn check_host(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let (host, name) = host_of(headers);
    let is = |known: &str| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host);
    let loopback = is("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    if loopback || allowed.iter().any(|allowed| is(allowed)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "this server does not go by that Host; whoever runs it can name more (talk-server: --allow-host)",
    ))
}

/// Whether the one `Host` is an address and no name.
#[cfg(feature = "server")]
pub(super) fn is_address(headers: &HeaderMap) -> bool {
    host_of(headers).1.parse::<IpAddr>().is_ok()
}

/// The one `Host`, and the name in it without the port.
fn host_of(headers: &HeaderMap) -> (&str, &str) {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    (host, name.trim_start_matches('[').trim_end_matches(']'))
}

/// The origin of the page that a browser asks for, if it is one that may: ours, or a configured one.
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<Option<HeaderValue>, Problem> {
    let foreign = || Problem::new(StatusCode::FORBIDDEN, "pages of that Origin may not use this server");
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return Ok(None),
        (Some(origin), None) => origin,
        (Some(_), Some(_)) => return Err(foreign()),
    };
    let text = origin.to_str().map_err(|_| foreign())?;
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
        return Ok(Some(origin.clone()));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match authority {
        // A page of our own needs no permission to read the answer.
        Some(authority) if authority.eq_ignore_ascii_case(host) => Ok(None),
        _ => Err(foreign()),
    }
}

/// What a sign-in asks for.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    pub(super) nickname: Option<String>,
    /// An account's secret; only ever in the body.
    pub(super) secret: Option<String>,
    /// `known`: it has to be there, and none is made.
    pub(super) account: Option<String>,
}

impl SignIn {
    /// Reads it from wherever it stands.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        let query = form(query.unwrap_or_default().as_bytes())?;
        if query.iter().any(|(key, _)| *key == SECRET) {
            return Err(Problem::bad("'secret' never stands in a URL, which ends in logs: send it in the body"));
        }
        let mut found = query;
        if !body.is_empty() {
            found.extend(in_body(headers, body)?);
        }
        let form = media_type(headers).as_deref() == Some(FORM) && body.starts_with(b"{");
        let this = Self {
            nickname: one(&mut found, NICKNAME)?,
            secret: one(&mut found, SECRET)?,
            account: one(&mut found, ACCOUNT)?,
        };
        if this.nickname.is_none() && form {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "'nickname' is missing: the body was read as a form; JSON needs 'Content-Type: application/json'",
            ));
        }
        Ok(this)
    }
}

impl SignIn {
    /// Whether an account is made of a free nickname.
    pub(super) fn makes(&self) -> Result<bool, Problem> {
        match self.account.as_deref() {
            None => Ok(true),
            Some("known") if self.secret.is_some() => Ok(false),
            Some("known") => Err(Problem::bad("'account' is about one with a 'secret', which is missing")),
            Some(_) => Err(Problem::bad("'account' is 'known', for one that has to be there, or left out")),
        }
    }

    /// The body, as it is recorded: what was read of it, in its own form.
    pub(super) fn noted(&self, headers: &HeaderMap, body: &Bytes) -> Text {
        let mut text = Text::default();
        if body.is_empty() {
            return text;
        }
        let form = media_type(headers).as_deref() == Some(FORM);
        let (first, next, last) = if form { ("", "&", "") } else { ("{\"", "\",\"", "\"}") };
        let named = [(NICKNAME, &self.nickname), (SECRET, &self.secret), (ACCOUNT, &self.account)];
        let mut before = first;
        for (key, value) in named.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))) {
            text.plain(&format!("{before}{key}{}", if form { "=" } else { "\":\"" }));
            before = next;
            match (key, form) {
                (SECRET, _) => text.secret(value),
                (_, true) => text.plain(&percent_encode(value)),
                // Without the quotes around it, which stand there.
                (_, false) => {
                    let quoted = Value::from(value).to_string();
                    text.plain(&quoted[1..quoted.len() - 1]);
                }
            }
        }
        match (before == first, form) {
            (true, false) => text.plain("{}"),
            (true, true) => {}
            (false, _) => text.plain(last),
        }
        text
    }
}

fn percent_encode(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let encode = |b: u8| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(encode).collect()
}

type Fields = Vec<(&'static str, String)>;

/// A field's value, which may stand more than once if it is always the same.
fn one(found: &mut Fields, key: &'static str) -> Result<Option<String>, Problem> {
    let mut values = found.extract_if(.., |(found, _)| *found == key).map(|(_, value)| value);
    let first = values.next();
    match values.any(|other| Some(&other) != first.as_ref()) {
        true => Err(Problem::bad(format!("'{key}' stands more than once, and not always the same"))),
        false => Ok(first),
    }
}

fn in_body(headers: &HeaderMap, body: &Bytes) -> Result<Fields, Problem> {
    let refused = || {
        let detail = "the body must be JSON or a form: 'Content-Type: application/json' or \
                      'application/x-www-form-urlencoded', without Content-Encoding";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    };
    if headers.get_all(CONTENT_ENCODING).iter().any(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(refused());
    }
    match media_type(headers).as_deref() {
        Some(FORM) => form(body),
        Some("application/json") => {
            let mut object = json::object(body).map_err(|e| Problem::bad(e.to_string()))?;
            let mut found = Fields::new();
            for key in KEYS {
                match object.remove(key) {
                    None => {}
                    Some(Value::String(value)) => found.push((key, value)),
                    Some(other) => {
                        return Err(Problem::bad(format!("'{key}' must be a string, found {}", json::kind(&other))));
                    }
                }
            }
            Ok(found)
        }
        _ => Err(refused()),
    }
}

/// Every field that matters in a form or a query.
fn form(text: &[u8]) -> Result<Fields, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| Problem::bad("a form is UTF-8"))?;
    let mut found = Fields::new();
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = percent_decode(&key.replace('+', " "))?;
        if let Some(key) = KEYS.into_iter().find(|known| *known == key) {
            found.push((key, percent_decode(&value.replace('+', " "))?));
        }
    }
    Ok(found)
}

/// The token of a request that is no upgrade.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<Secret> {
    let mut header = headers.get_all(AUTHORIZATION).iter();
    match (header.next(), header.next()) {
        (Some(value), None) => Secret::new(value.to_str().ok().and_then(bearer)?).ok(),
        _ => None,
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const NICKNAME: &str = "nickname";
const SECRET: &str = "secret";
const ACCOUNT: &str = "account";
const KEYS: [&str; 3] = [NICKNAME, SECRET, ACCOUNT];

/// What an upgrade offers: the tokens that it may mean, each with the subprotocol to answer with.
pub(super) struct Offer {
    pub(super) mode: Mode,
    pub(super) tokens: Vec<(Secret, Option<HeaderValue>)>,
}

impl Offer {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let offered: Vec<_> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
        let rich = offered.contains(&SUBPROTOCOL);
        let protocol = |item: &str| {
            let chosen = if rich { SUBPROTOCOL } else { item };
            HeaderValue::from_str(chosen).ok()
        };
        let named = offered.iter().filter(|item| **item != SUBPROTOCOL).take(MAX_OFFERED);
        let mut tokens: Vec<_> =
            named.filter_map(|item| Some((Secret::new(bearer(item).unwrap_or(item)).ok()?, protocol(item)))).collect();
        if let Some(token) = bearer_token(headers) {
            tokens.push((token, rich.then_some(HeaderValue::from_static(SUBPROTOCOL))));
        }
        Self { mode: if rich { Mode::Rich } else { Mode::Plain }, tokens }
    }
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Subprotocols that are looked at as tokens.
const MAX_OFFERED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_host_is_this_machine_or_a_configured_name() {
        let allowed = ["chat.example".to_owned(), "other.example:8443".to_owned()];
        for (host, fine) in [
            ("localhost", true),
            ("LOCALHOST:7000", true),
            ("127.0.0.1:7000", true),
            ("127.9.9.9", true),
            ("[::1]:7000", true),
            ("[::1]", true),
            ("chat.example", true),
            ("Chat.Example:7000", true),
            ("other.example:8443", true),
            ("other.example", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.0.2.1:7000", false),
            ("", false),
        ] {
            assert_eq!(check_host(&headers(&[(HOST, host)]), &allowed).is_ok(), fine, "{host}");
        }
    }

    #[test]
    fn an_origin_is_ours_or_configured() {
        let allowed = ["https://chat.example".to_owned()];
        for (origin, fine) in [
            ("https://chat.example", true),
            ("http://localhost:7000", true),
            ("http://localhost:7001", false),
            ("http://chat.example", false),
            ("null", false),
            ("", false),
            ("https://evil.example", false),
        ] {
            let headers = headers(&[(HOST, "localhost:7000"), (ORIGIN, origin)]);
            assert_eq!(check_origin(&headers, &allowed).is_ok(), fine, "{origin}");
        }
        assert!(check_origin(&headers(&[(HOST, "localhost:7000")]), &allowed).unwrap().is_none());
    }

    #[test]
    fn a_token_stands_in_the_subprotocol_or_in_the_authorization() {
        let offer = |list: &[(HeaderName, &str)]| {
            let offer = Offer::of(&headers(list));
            let text = |v: &HeaderValue| v.to_str().unwrap().to_owned();
            let tokens = offer.tokens.iter().map(|(t, p)| (t.reveal().to_owned(), p.as_ref().map(text)));
            (offer.mode, tokens.collect::<Vec<_>>())
        };
        let one = |token: &str, protocol: Option<&str>| vec![(token.to_owned(), protocol.map(str::to_owned))];
        assert_eq!(offer(&[(SEC_WEBSOCKET_PROTOCOL, "abc")]), (Mode::Plain, one("abc", Some("abc"))));
        assert_eq!(offer(&[(SEC_WEBSOCKET_PROTOCOL, "Bearer abc")]), (Mode::Plain, one("abc", Some("Bearer abc"))));
        assert_eq!(offer(&[(SEC_WEBSOCKET_PROTOCOL, "talk.v2, abc")]), (Mode::Rich, one("abc", Some("talk.v2"))));
        assert_eq!(offer(&[(AUTHORIZATION, "bearer abc")]), (Mode::Plain, one("abc", None)));
        assert_eq!(offer(&[(AUTHORIZATION, "Basic abc")]).1, []);
    }
}
