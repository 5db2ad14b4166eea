//! JSON from strangers, read strictly: the body is an object, no key comes twice at any depth, and nesting ends at
//! [`JSON_DEPTH`](crate::limits::JSON_DEPTH) levels.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::CodecError;

/// An object with its keys in order.
pub type Object = Map<String, Value>;

/// Reads one JSON object and nothing behind it.
///
/// # Errors
/// [`CodecError::Syntax`] for what is no JSON, is not UTF-8 or nests too deeply; [`CodecError::Shape`] for a value
/// that is no object, or a key that comes twice.
pub fn object(bytes: &[u8]) -> Result<Object, CodecError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut reader).map_err(syntax_or_shape)?;
    reader.end().map_err(syntax_or_shape)?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(CodecError::Shape(format!("expected a JSON object, found {}", kind(&other)))),
    }
}

/// Reads one JSON object and nothing behind it, member by member: what `see` does not keep costs no memory. It gets each
/// key and the unread bytes of its value, and may say what is wrong with them.
///
/// # Errors
/// [`CodecError::Syntax`] for what is no JSON or is not UTF-8; [`CodecError::Shape`] for a value that is no object, and
/// what `see` says.
pub(super) fn members<'a>(
    bytes: &'a [u8],
    see: impl FnMut(String, &'a str) -> Result<(), String>,
) -> Result<(), CodecError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.deserialize_map(Members(see)).map_err(syntax_or_shape)?;
    reader.end().map_err(syntax_or_shape)
}

/// Takes the text in `key` out of an object.
///
/// # Errors
/// [`CodecError::Shape`] when the key holds something else; absent is `Ok(None)`.
pub fn text(object: &mut Object, key: &'static str) -> Result<Option<String>, CodecError> {
    match object.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(CodecError::Shape(format!("'{key}' must be a string, found {}", kind(&other)))),
    }
}

/// What a JSON value is, for an error text.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// serde_json's message without its position is what we raise ourselves; its own are about syntax.
pub(super) fn syntax_or_shape(error: serde_json::Error) -> CodecError {
    if error.is_data() { CodecError::Shape(error.to_string()) } else { CodecError::Syntax(error.to_string()) }
}

struct Members<F>(F);

impl<'de, F: FnMut(String, &'de str) -> Result<(), String>> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((key, value)) = members.next_entry::<String, &'de RawValue>()? {
            (self.0)(key, value.get()).map_err(Error::custom)?;
        }
        Ok(())
    }
}

/// Builds a value like serde_json does, but refuses a key that comes twice instead of keeping the last.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(key) = fields.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} comes twice")));
            }
            object.insert(key, fields.next_value_seed(Strict)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_comes_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"\u0062":2}]}"#] {
            let error = object(text.as_bytes()).unwrap_err();
            assert!(matches!(&error, CodecError::Shape(m) if m.contains("comes twice")), "{text}: {error:?}");
        }
    }

    #[test]
    fn only_an_object_will_do() {
        for text in ["[]", "null", "1", "\"a\"", "true", "[{\"a\":1}]"] {
            assert!(matches!(object(text.as_bytes()), Err(CodecError::Shape(_))), "{text}");
        }
        for text in ["", "{", "{} {}", "{}x", "{'a':1}", "\u{feff}{}", "{\"a\":NaN}"] {
            assert!(matches!(object(text.as_bytes()), Err(CodecError::Syntax(_))), "{text:?}");
        }
        assert!(matches!(object(b"{\"a\":\"\xff\"}"), Err(CodecError::Syntax(_))));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(126).as_bytes()).is_ok());
        assert!(matches!(object(nested(128).as_bytes()), Err(CodecError::Syntax(_))));
        assert!(object(nested(30_000).as_bytes()).is_err());
    }
}
