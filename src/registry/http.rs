//! What a request to the registry says besides its body: path, query, secret, media types.

use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use crate::codec::registry::{MEDIA_TYPE_V1, MEDIA_TYPE_V2, Version};
use crate::limits::{MAX_TTL, MIN_TTL};
use crate::net::http::Problem;
pub(super) use crate::net::http::percent_decode as decode;
use crate::secret::Secret;

/// What a path names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route<'a> {
    Users,
    /// One user, by the name as it stands in the path.
    User(&'a str),
    Health,
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        match path {
            "/v1/users" | "/v1/users/" => Some(Self::Users),
            "/v1/health" => Some(Self::Health),
            _ => {
                let name = path.strip_prefix("/v1/users/")?;
                (!name.contains('/')).then_some(Self::User(name))
            }
        }
    }

    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Users => "GET, HEAD, POST",
            Self::User(_) => "GET, HEAD, PUT, DELETE",
            Self::Health => "GET, HEAD",
        }
    }
}

/// The seconds in `?ttl=`; other keys are somebody else's.
pub(super) fn ttl(query: Option<&str>) -> Result<Option<u32>, Problem> {
    let mut ttl = None;
    for pair in query.unwrap_or_default().split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key)? != "ttl" {
            continue;
        }
        let value = decode(value)?;
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let seconds = value.parse().ok().filter(|ttl| digits && (MIN_TTL..=MAX_TTL).contains(ttl));
        let Some(seconds) = seconds else {
            return Err(Problem::bad(format!("'ttl' is a number of seconds from {MIN_TTL} to {MAX_TTL}")));
        };
        if ttl.replace(seconds).is_some() {
            return Err(Problem::bad("'ttl' stands more than once"));
        }
    }
    Ok(ttl)
}

/// The secret in `Authorization: Bearer` (RFC 6750, section 2.1).
pub(super) fn secret(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(Problem::bad("there is more than one Authorization header")),
        (Some(value), None) => value.to_str().unwrap_or_default(),
    };
    let (scheme, secret) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Problem::bad("the way to own an entry is 'Authorization: Bearer <secret>'"));
    }
    let secret = Secret::new(secret.trim_matches(' '));
    secret.map(Some).map_err(|e| Problem::bad(format!("'Authorization: Bearer <secret>': {e}")))
}

/// The version that the body of a POST or PUT has by its media type.
pub(super) fn body_version(headers: &HeaderMap) -> Result<Version, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    let wanted =
        || refused(format!("the body must be JSON, with 'Content-Type: {MEDIA_TYPE_V1}' (or {MEDIA_TYPE_V2})"));
    if headers.get_all(CONTENT_ENCODING).iter().any(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(refused("the body must come without Content-Encoding".into()));
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wanted()) };
    let mut parts = value.to_str().map_err(|_| wanted())?.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    for parameter in parts {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if key.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(refused("JSON is always UTF-8: leave the charset out, or make it utf-8".into()));
        }
    }
    match essence.strip_prefix("application/") {
        _ if essence == MEDIA_TYPE_V2 => Ok(Version::V2),
        Some("json") => Ok(Version::V1),
        Some(subtype) if subtype.len() > "+json".len() && subtype.ends_with("+json") => Ok(Version::V1),
        _ => Err(wanted()),
    }
}

/// The version that the client would rather have (RFC 9110, section 12.5.1).
///
/// Version 2 goes only to who names it and wants nothing else more; whoever wants neither gets version 1, as every
/// client in the field expects.
pub(super) fn answer_version(headers: &HeaderMap) -> Version {
    let ranges = || {
        let values = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).filter_map(media_range)
    };
    let quality = |of: &str| ranges().filter(|(range, _)| range == of).map(|(_, q)| q).max();
    let Some(v2) = quality(MEDIA_TYPE_V2) else { return Version::V1 };
    let v1 = quality(MEDIA_TYPE_V1).or_else(|| quality("application/*")).or_else(|| quality("*/*")).unwrap_or(0);
    if v2 > 0 && v2 >= v1 { Version::V2 } else { Version::V1 }
}

/// A media range in lower case and its quality in thousandths; what is malformed counts for nothing.
fn media_range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let mut quality = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        if key.trim_end().eq_ignore_ascii_case("q") {
            quality = thousandths(value.trim_start())?;
        }
    }
    Some((range, quality))
}

/// `qvalue` of RFC 9110, section 12.4.2: 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", _) => Some(decimals),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn header(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn version_2_goes_to_who_names_it_and_wants_nothing_else_more() {
        for (accept, version) in [
            ("", Version::V1),
            ("*/*", Version::V1),
            ("application/json", Version::V1),
            ("text/html", Version::V1),
            ("application/*", Version::V1),
            ("application/vnd.talk.v2+json", Version::V2),
            ("Application/VND.Talk.v2+JSON ; Q=0.4", Version::V2),
            ("application/vnd.talk.v2+json, application/json;q=0.5", Version::V2),
            ("application/json;q=0.5,application/vnd.talk.v2+json", Version::V2),
            ("application/vnd.talk.v2+json;q=0.4, application/json;q=0.5", Version::V1),
            ("application/vnd.talk.v2+json;q=0.4, */*;q=0.5", Version::V1),
            ("application/vnd.talk.v2+json, */*", Version::V2),
            ("application/vnd.talk.v2+json;q=0", Version::V1),
            ("application/vnd.talk.v2+json;q=2", Version::V1),
            ("application/vnd.talk.v2+json;q=0.0001", Version::V1),
            ("application/vnd.talk.v2+json;q=1.001", Version::V1),
            ("application/vnd.talk.v2+json;q=0.001", Version::V2),
        ] {
            assert_eq!(answer_version(&header(ACCEPT, accept)), version, "{accept}");
        }
        assert_eq!(answer_version(&HeaderMap::new()), Version::V1);
    }

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(decode("b%6Fb").unwrap(), "bob");
        assert_eq!(decode("%2562").unwrap(), "%62");
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ttl_stands_once_in_digits_and_in_range() {
        assert_eq!(ttl(None).unwrap(), None);
        assert_eq!(ttl(Some("")).unwrap(), None);
        assert_eq!(ttl(Some("x=1&ttl=5&y")).unwrap(), Some(5));
        assert_eq!(ttl(Some("t%74l=%386400")).unwrap(), Some(86_400));
        for bad in ["ttl", "ttl=", "ttl=4", "ttl=86401", "ttl=+5", "ttl=5.0", "ttl=60&ttl=60", "ttl=99999999999"] {
            assert!(ttl(Some(bad)).is_err(), "{bad}");
        }
    }
}
