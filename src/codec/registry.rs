//! The registry's JSON: what POST and PUT carry, and what a list of users looks like in both versions.
//!
//! Version 1 holds exactly `protocol`, `host` and `port`, and only the three standard protocols: clients in the field
//! die on anything else. Version 2 (media type [`MEDIA_TYPE_V2`]) adds `features`, `expires` (seconds since the Unix
//! epoch, or null without a lease) and entries of plug-in protocols, which have a `locator` for host and port.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::CodecError;
use super::json::{self, Object, kind};
use crate::address::{Address, Entry, Features, Host, Locator, Place, Placement, Protocol, parse_port};
use crate::message::Timestamp;
use crate::name::{NameError, UserName, is_reserved};

/// The media type of version 2.
pub const MEDIA_TYPE_V2: &str = "application/vnd.talk.v2+json";
/// The media type of version 1.
pub const MEDIA_TYPE_V1: &str = "application/json";

/// The two versions of the registry's JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// `protocol`, `host`, `port`.
    V1,
    /// With `features`, `expires` and `locator`.
    V2,
}

/// Reads the body of a POST: a name and a complete address.
///
/// # Errors
/// [`CodecError`] says what is wrong and what would be right.
pub fn decode_post(body: &[u8], version: Version) -> Result<(UserName, Placement), CodecError> {
    let mut object = json::object(body)?;
    let name = match (json::text(&mut object, "name")?, json::text(&mut object, "user")?) {
        (Some(name), Some(user)) if name != user => {
            return Err(CodecError::Shape("'name' and 'user' are both present and differ".into()));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(CodecError::Shape("the field 'name' is missing".into())),
    };
    let name = user_name(&name)?;
    let mut placement = match object.remove("address") {
        Some(Value::Object(address)) => decode_placement(address, version)?,
        Some(other) => return Err(not_an_object("address", &other)),
        None => return Err(CodecError::Shape("the field 'address' is missing".into())),
    };
    if placement.protocol.is_none() {
        return Err(CodecError::Shape("the field 'address.protocol' is missing".into()));
    }
    outer_features(&mut object, version, &mut placement)?;
    Ok((name, placement))
}

/// Reads the body of a PUT: a bare address, or the full form of a POST, whose name is then ignored.
///
/// # Errors
/// [`CodecError`] says what is wrong and what would be right.
pub fn decode_put(body: &[u8], version: Version) -> Result<Placement, CodecError> {
    let mut object = json::object(body)?;
    match object.remove("address") {
        Some(Value::Object(address)) => {
            let mut placement = decode_placement(address, version)?;
            outer_features(&mut object, version, &mut placement)?;
            Ok(placement)
        }
        Some(other) => Err(not_an_object("address", &other)),
        None => decode_placement(object, version),
    }
}

/// Parses a user name that is to be registered; the reserved ones are refused.
///
/// # Errors
/// [`CodecError::Value`].
pub fn user_name(name: &str) -> Result<UserName, CodecError> {
    if is_reserved(name) {
        return Err(CodecError::value("name", NameError::Reserved));
    }
    UserName::new(name).map_err(|e| CodecError::value("name", e))
}

/// Writes the body of a POST.
#[must_use]
pub fn encode_post(name: &UserName, entry: &Entry, version: Version) -> Option<Vec<u8>> {
    let address = entry_value(entry, None, version)?;
    Some(json!({ "name": name.as_str(), "address": address }).to_string().into_bytes())
}

/// Writes the body of a PUT: the bare address. `None` when version 1 has no form for it.
#[must_use]
pub fn encode_put(entry: &Entry, version: Version) -> Option<Vec<u8>> {
    Some(entry_value(entry, None, version)?.to_string().into_bytes())
}

/// Writes the body of a PUT that says where a user is and leaves the features as they are. Version 1 has no form for a
/// plug-in protocol's address.
#[must_use]
pub fn encode_renewal(address: &Address) -> Vec<u8> {
    address_value(address).to_string().into_bytes()
}

/// The JSON of one entry. `None` when version 1 has no form for it.
///
/// `expires` stands in an answer of version 2 only: `Some(None)` writes null.
#[must_use]
pub fn entry_value(entry: &Entry, expires: Option<Option<Timestamp>>, version: Version) -> Option<Value> {
    let mut value = address_value(&entry.address);
    match version {
        Version::V1 if !entry.address.protocol().is_standard() => return None,
        Version::V1 => {}
        Version::V2 => {
            value["features"] = entry.features.iter().collect();
            if let Some(expires) = expires {
                value["expires"] = expires.map(Timestamp::as_secs).into();
            }
        }
    }
    Some(value)
}

/// Reads a list of up to `most` users from any registry: entries that this crate cannot express are left out, and cost
/// no memory.
///
/// # Errors
/// [`CodecError`] when it is no JSON object at all, names a user twice or holds more.
pub fn decode_users(body: &[u8], most: usize) -> Result<BTreeMap<UserName, Entry>, CodecError> {
    let mut users = BTreeMap::new();
    json::members(body, |name, value| {
        if value.len() > MAX_ENTRY {
            return Ok(());
        }
        let (Ok(name), Ok(entry)) = (UserName::new(&name), decode_entry(value.as_bytes())) else { return Ok(()) };
        if users.len() == most && !users.contains_key(&name) {
            return Err(format!("the list holds more than {most} users"));
        }
        match users.insert(name, entry) {
            None => Ok(()),
            Some(_) => Err("the list holds a user twice".into()),
        }
    })?;
    Ok(users)
}

/// Reads one entry from any registry.
///
/// # Errors
/// [`CodecError`] says what this crate could not express.
pub fn decode_entry(body: &[u8]) -> Result<Entry, CodecError> {
    Ok(decode_placement(json::object(body)?, Version::V2)?.apply(None))
}

fn address_value(address: &Address) -> Value {
    match address {
        Address::Network { protocol, host, port } => {
            json!({ "protocol": protocol.as_str(), "host": host.as_str(), "port": port })
        }
        Address::Other { protocol, locator } => {
            json!({ "protocol": protocol.as_str(), "locator": locator.as_str() })
        }
    }
}

fn decode_placement(mut object: Object, version: Version) -> Result<Placement, CodecError> {
    let protocol = json::text(&mut object, "protocol")?
        .map(|name| match Protocol::new(&name) {
            Ok(protocol) if version == Version::V2 || protocol.is_standard() => Ok(protocol),
            Ok(_) => Err(CodecError::value("protocol", "must be HTTP, UDP or WEBSOCKET")),
            Err(e) => Err(CodecError::value("protocol", e)),
        })
        .transpose()?;
    let features = features(&mut object, version)?;
    let locator = if version == Version::V2 { json::text(&mut object, "locator")? } else { None };
    if let Some(locator) = locator {
        if protocol.as_ref().is_none_or(Protocol::is_standard) || object.contains_key("host") {
            return Err(CodecError::Shape("a 'locator' goes with a plug-in 'protocol' and without 'host'".into()));
        }
        let locator = Locator::new(&locator).map_err(|e| CodecError::value("locator", e))?;
        return Ok(Placement { protocol, place: Place::Other(locator), features });
    }
    let host =
        json::text(&mut object, "host")?.ok_or_else(|| CodecError::Shape("the field 'host' is missing".into()))?;
    let host = Host::new(&host).map_err(|e| CodecError::value("host", e))?;
    let port = match object.remove("port") {
        Some(Value::Number(number)) => number.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0),
        Some(Value::String(text)) => parse_port(&text).ok(),
        Some(_) => None,
        None => return Err(CodecError::Shape("the field 'port' is missing".into())),
    };
    let port = port.ok_or_else(|| CodecError::value("port", crate::address::AddressError::Port))?;
    Ok(Placement { protocol, place: Place::Network(host, port), features })
}

/// Features may also stand beside the address.
fn outer_features(object: &mut Object, version: Version, placement: &mut Placement) -> Result<(), CodecError> {
    let outer = features(object, version)?;
    if outer.is_some() && placement.features.is_some() && outer != placement.features {
        return Err(CodecError::Shape("'features' stands twice and differs".into()));
    }
    placement.features = placement.features.take().or(outer);
    Ok(())
}

fn features(object: &mut Object, version: Version) -> Result<Option<Features>, CodecError> {
    let list = match object.remove("features") {
        Some(value) if version == Version::V2 => value,
        _ => return Ok(None),
    };
    let Value::Array(items) = &list else {
        return Err(CodecError::Shape(format!("'features' must be an array, found {}", kind(&list))));
    };
    let names: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let names = names.ok_or_else(|| CodecError::Shape("'features' must be an array of strings".into()))?;
    Features::new(names).map(Some).map_err(|e| CodecError::value("features", e))
}

fn not_an_object(key: &str, value: &Value) -> CodecError {
    CodecError::Shape(format!("'{key}' must be an object, found {}", kind(value)))
}

/// Bytes of JSON that one entry in a list may have: a dozen times what the longest address takes with every feature.
const MAX_ENTRY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> Result<Placement, CodecError> {
        decode_put(text.as_bytes(), Version::V1)
    }

    fn post(text: &str) -> Result<(UserName, Placement), CodecError> {
        decode_post(text.as_bytes(), Version::V1)
    }

    #[test]
    fn post_takes_user_or_name_and_refuses_two_that_differ() {
        for body in [
            r#"{"user":"bob","address":{"protocol":"HTTP","host":"127.0.0.1","port":8080}}"#,
            r#"{"name":"bob","address":{"protocol":"http","host":"127.0.0.1","port":"8080","x":1}}"#,
            r#"{"name":"bob","user":"bob","address":{"protocol":"Http","host":"127.0.0.1","port":8080}}"#,
        ] {
            let (name, placement) = post(body).unwrap();
            assert_eq!(name.as_str(), "bob");
            assert_eq!(placement.apply(None), Entry::plain(Address::loopback(Protocol::HTTP, 8080)));
        }
        assert!(post(r#"{"name":"a","user":"b","address":{"protocol":"HTTP","host":"h","port":1}}"#).is_err());
        assert!(post(r#"{"name":"a","address":{"host":"h","port":1}}"#).is_err());
        assert!(post(r#"{"name":"System","address":{"protocol":"HTTP","host":"h","port":1}}"#).is_err());
    }

    #[test]
    fn put_takes_the_bare_and_the_full_form() {
        let bare = put(r#"{"protocol":"UDP","host":"h","port":"3002"}"#).unwrap();
        let full = put(r#"{"name":"x","address":{"protocol":"udp","host":"h","port":3002}}"#).unwrap();
        assert_eq!(bare, full);
        assert_eq!(bare.apply(None).address.to_string(), "udp://h:3002");
    }

    #[test]
    fn put_without_a_protocol_keeps_it_and_http_is_the_first() {
        let moved = put(r#"{"host":"h","port":2}"#).unwrap();
        assert_eq!(moved.apply(None).address.protocol(), &Protocol::HTTP);
        let existing = Entry::plain(Address::loopback(Protocol::UDP, 1));
        assert_eq!(moved.apply(Some(&existing)).address.protocol(), &Protocol::UDP);
    }

    #[test]
    fn an_unchanged_address_keeps_its_features_and_any_change_drops_them() {
        let existing = Entry::acknowledging(Address::loopback(Protocol::UDP, 1));
        let same = put(r#"{"protocol":"UDP","host":"127.0.0.1","port":1}"#).unwrap();
        assert_eq!(same.apply(Some(&existing)), existing);
        for other in [
            r#"{"protocol":"HTTP","host":"127.0.0.1","port":1}"#,
            r#"{"protocol":"UDP","host":"127.0.0.2","port":1}"#,
            r#"{"host":"127.0.0.1","port":2}"#,
        ] {
            assert!(put(other).unwrap().apply(Some(&existing)).features.is_empty(), "{other}");
        }
    }

    #[test]
    fn ports_are_integers_or_digits() {
        for bad in ["0", "65536", "-1", "80.7", "80.0", "8e1", "\"+80\"", "\"80.7\"", "\"\"", "null", "true", "[80]"] {
            assert!(put(&format!(r#"{{"host":"h","port":{bad}}}"#)).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_version_2_knows_features_and_other_protocols() {
        let text = r#"{"protocol":"UDP","host":"h","port":1,"features":["ack"]}"#;
        assert_eq!(put(text).unwrap().features, None);
        let v2 = decode_put(text.as_bytes(), Version::V2).unwrap();
        assert!(v2.features.unwrap().has("ack"));
        let unix = r#"{"protocol":"unix","locator":"/tmp/x","features":[]}"#;
        assert!(put(unix).is_err());
        let entry = decode_put(unix.as_bytes(), Version::V2).unwrap().apply(None);
        assert_eq!(entry.address.to_string(), "unix:/tmp/x");
        assert_eq!(entry_value(&entry, None, Version::V1), None);
        for bad in [
            r#"{"protocol":"HTTP","locator":"x"}"#,
            r#"{"locator":"x"}"#,
            r#"{"protocol":"unix","locator":"x","host":"h","port":1}"#,
            r#"{"protocol":"UDP","host":"h","port":1,"features":"ack"}"#,
            r#"{"protocol":"UDP","host":"h","port":1,"features":[1]}"#,
        ] {
            assert!(decode_put(bad.as_bytes(), Version::V2).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let name = UserName::new("bob").unwrap();
        let unix = Address::other(Protocol::new("UNIX").unwrap(), "/tmp/bob").unwrap();
        for entry in [Entry::acknowledging(Address::loopback(Protocol::UDP, 9)), Entry::plain(unix)] {
            let body = encode_post(&name, &entry, Version::V2).unwrap();
            let (read, placement) = decode_post(&body, Version::V2).unwrap();
            assert_eq!((read, placement.apply(None)), (name.clone(), entry.clone()));
            let body = encode_put(&entry, Version::V2).unwrap();
            assert_eq!(decode_entry(&body).unwrap(), entry);
            assert_eq!(Placement::of(&entry).apply(None), entry);
        }
    }

    #[test]
    fn a_strange_entry_in_a_list_does_not_hide_the_others() {
        let list =
            br#"{"bob":{"protocol":"HTTP","host":"h","port":1,"x":2},"b ad":{"protocol":"HTTP","host":"h","port":1},
            "odd":{"protocol":"HTTP","host":"h","port":0},"none":null}"#;
        assert_eq!(decode_users(list, 1).unwrap().len(), 1);
        assert!(decode_users(b"[]", 1).is_err());
    }

    #[test]
    fn a_list_holds_nobody_twice_and_no_more_than_it_may() {
        let user = |name: &str| format!(r#""{name}":{{"protocol":"HTTP","host":"h","port":1}}"#);
        let list = |users: &[&str]| format!("{{{}}}", users.iter().map(|n| user(n)).collect::<Vec<_>>().join(","));
        assert_eq!(decode_users(list(&["a", "b"]).as_bytes(), 2).unwrap().len(), 2);
        for (bad, most) in [(list(&["a", "b", "c"]), 2), (list(&["a", "b", "a"]), 9), (list(&["a"]) + "x", 9)] {
            assert!(decode_users(bad.as_bytes(), most).is_err(), "{bad}");
        }
        let long = format!(r#"{{"a":{{"host":"h","port":1,"x":"{}"}},{}}}"#, "x".repeat(MAX_ENTRY), user("b"));
        assert_eq!(decode_users(long.as_bytes(), 2).unwrap().len(), 1);
    }
}
