//! The page that people chat on without a program of their own: three files and an icon, which are part of this binary.

use std::hash::{DefaultHasher, Hash, Hasher};

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, StatusCode};

use crate::net::http::{Answer, Problem, answer};

/// The answer to a request for one of the page's files; `None` when it is none of them.
pub(super) fn file(path: &str, method: &Method, headers: &HeaderMap) -> Option<Result<Answer, Problem>> {
    let (media, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("../../web/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("../../web/style.css")),
        "/talk.js" => ("text/javascript; charset=utf-8", include_str!("../../web/talk.js")),
        "/icon.svg" => ("image/svg+xml", include_str!("../../web/icon.svg")),
        _ => return None,
    };
    if ![Method::GET, Method::HEAD].contains(method) {
        return Some(Err(Problem::method("GET, HEAD")));
    }
    if foreign(headers) {
        return Some(Err(Problem::new(StatusCode::FORBIDDEN, "other pages may not ask here")));
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let mut answer = answer(StatusCode::OK, media, text);
    // RFC 9110, section 13.1.2.
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    let mut known = known.flat_map(|known| known.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    if known.any(|known| known == "*" || known == tag) {
        (*answer.status_mut(), *answer.body_mut()) = (StatusCode::NOT_MODIFIED, Default::default());
        answer.headers_mut().remove(CONTENT_TYPE);
    }
    let own = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        own.insert(ETAG, tag);
    }
    for (name, value) in HEADERS {
        own.insert(name, HeaderValue::from_static(value));
    }
    Some(Ok(answer))
}

/// Whether another site's page wants this as a part of its own. Whoever follows a link is welcome.
fn foreign(headers: &HeaderMap) -> bool {
    let is = |name: &str, values: &[&str]| {
        headers.get(name).is_some_and(|value| values.iter().any(|known| value.as_bytes() == known.as_bytes()))
    };
    is("sec-fetch-site", &["cross-site", "same-site"]) && !is("sec-fetch-mode", &["navigate"])
}

/// What each of the files comes with: nothing from elsewhere runs, is loaded or frames it, and no markup is made of text.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (CACHE_CONTROL, "no-cache"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];
