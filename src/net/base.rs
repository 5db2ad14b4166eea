//! Where a service of ours is, as people write it.

use hyper::Uri;

use crate::address::parse_port;

/// The base without a slash at the end, or what would be right.
pub(crate) fn parse_base(base: &str) -> Result<String, &'static str> {
    let (scheme, _) = base.split_once("://").ok_or(WANTED)?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err("TLS is not supported; put a proxy before it, or use http://");
    }
    let uri: Uri = base.parse().map_err(|_| WANTED)?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(WANTED) };
    let behind_host = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
    let port_fits = match behind_host.strip_prefix(':') {
        Some(port) => parse_port(port).is_ok(),
        None => behind_host.is_empty(),
    };
    if authority.host().is_empty() || !port_fits || uri.query().is_some() || base.contains('#') {
        return Err(WANTED);
    }
    Ok(format!("http://{authority}{}", uri.path().trim_end_matches('/')))
}

/// An address for an error text. What is wrong with it may be where its parts end, so all before the last `@` goes.
pub(crate) fn without_secrets(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}…@{host}")
}

/// What a base looks like.
pub(crate) const WANTED: &str = "it looks like http://host:port, with a path at most";
