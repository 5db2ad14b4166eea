//! The peers' wire: one JSON object a message, the same over HTTP, WebSocket and UDP.
//!
//! Version 1 is `{"user":"ann","text":"hi"}` and nothing else: receivers in the field refuse more. Version 2 adds `id`
//! and is acknowledged by `{"ack":"<id>"}`; over UDP it may add `run` and `n` (and `base`) so that the receiver can
//! restore the order. Unknown fields are ignored, a key that comes twice is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::CodecError;
use super::json::syntax_or_shape;
use crate::message::{Message, MessageId};
use crate::name::{HEALTH_CHECK, UserName, is_reserved};
use crate::text;

/// The WebSocket subprotocol by which two ends agree on version 2.
pub const SUBPROTOCOL: &str = "talk.v2";

/// What a peer may hear.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// A message, with its place in the sender's order if it has one.
    Message(Message, Option<Order>),
    /// The acknowledgement of a message of ours.
    Ack(MessageId),
    /// A health check that some registries send as a message: to be answered like one, and shown to nobody.
    HealthCheck,
}

/// The place of a datagram in the order of one sender's messages to one receiver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// Random per start of the sender.
    pub run: MessageId,
    /// 1, 2, 3 … per run and receiver.
    pub n: u64,
    /// The lowest `n` that the sender still waits for: what is below is settled, so nobody need wait for it.
    pub base: Option<u64>,
}

/// Reads what a peer sent.
///
/// The text is cleaned of control characters. `limit` bounds the text in bytes, before it is cleaned.
///
/// # Errors
/// [`CodecError`] for anything else than the two forms above, and for a reserved or impossible `user`.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Frame, CodecError> {
    // Once here is cheaper than once per string.
    let text = std::str::from_utf8(bytes).map_err(|e| CodecError::Syntax(e.to_string()))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = Fields::deserialize(&mut reader).map_err(syntax_or_shape)?;
    reader.end().map_err(syntax_or_shape)?;
    let (user, text) = match (fields.user, fields.text, fields.ack) {
        (Some(user), Some(text), None) => (user, text),
        (None, None, Some(ack)) => {
            let id = MessageId::new(&ack).map_err(|e| CodecError::value("ack", e))?;
            return Ok(Frame::Ack(id));
        }
        (None, _, None) => return Err(CodecError::Shape("the field 'user' is missing".into())),
        (_, None, None) => return Err(CodecError::Shape("the field 'text' is missing".into())),
        _ => return Err(CodecError::Shape("an acknowledgement has no other field than 'ack'".into())),
    };
    if text.len() > limit {
        return Err(CodecError::TooLong { limit });
    }
    let from = UserName::new(&user).map_err(|e| CodecError::value("user", e))?;
    if &*user == HEALTH_CHECK {
        return Ok(Frame::HealthCheck);
    }
    if is_reserved(&user) {
        return Err(CodecError::value("user", crate::name::NameError::Reserved));
    }
    let id = fields.id.map(|id| MessageId::new(&id)).transpose().map_err(|e| CodecError::value("id", e))?;
    let order = match (fields.run, fields.n) {
        (Some(_), Some(0)) => return Err(CodecError::value("n", "counts from 1")),
        (Some(Run(run)), Some(n)) => {
            let run = MessageId::new(&run).map_err(|e| CodecError::value("run", e))?;
            Some(Order { run, n, base: fields.base })
        }
        _ => None,
    };
    let mut message = Message::new(from, &text);
    message.id = id;
    Ok(Frame::Message(message, order))
}

/// Writes a message of version 1: exactly `user` and `text`, each line break as one space.
#[must_use]
pub fn encode_v1(message: &Message) -> Vec<u8> {
    let mut out = start(message.from.as_str(), &text::one_line(&message.text));
    out.push(b'}');
    out
}

/// Writes a message of version 2 under `id`, with its order over UDP.
#[must_use]
pub fn encode_v2(message: &Message, id: &MessageId, order: Option<&Order>) -> Vec<u8> {
    let mut out = start(message.from.as_str(), &message.text);
    out.extend_from_slice(b",\"id\":");
    push_text(&mut out, id.as_str());
    if let Some(order) = order {
        out.extend_from_slice(b",\"run\":");
        push_text(&mut out, order.run.as_str());
        out.extend_from_slice(format!(",\"n\":{}", order.n).as_bytes());
        if let Some(base) = order.base {
            out.extend_from_slice(format!(",\"base\":{base}").as_bytes());
        }
    }
    out.push(b'}');
    out
}

/// Writes an acknowledgement at the end of `out`.
pub fn encode_ack(id: &MessageId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ack\":");
    push_text(out, id.as_str());
    out.push(b'}');
}

fn start(user: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(user.len() + text.len() + 128);
    out.extend_from_slice(b"{\"user\":");
    push_text(&mut out, user);
    out.extend_from_slice(b",\"text\":");
    push_text(&mut out, text);
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is always JSON, and a Vec always takes it");
}

/// The fields as they come; a hand-written visitor, because a derived one also takes an array for a struct.
#[derive(Default)]
struct Fields<'a> {
    user: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    ack: Option<Cow<'a, str>>,
    run: Option<Run<'a>>,
    n: Option<u64>,
    base: Option<u64>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with 'user' and 'text'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        fn put<T, E: Error>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), E> {
            if slot.replace(value).is_some() {
                return Err(E::custom(format_args!("the key '{key}' comes twice")));
            }
            Ok(())
        }
        let mut fields = Fields::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "user" => put(&mut fields.user, &key, map.next_value::<Text<'_>>()?.0)?,
                "text" => put(&mut fields.text, &key, map.next_value::<Text<'_>>()?.0)?,
                "id" => put(&mut fields.id, &key, map.next_value::<Text<'_>>()?.0)?,
                "ack" => put(&mut fields.ack, &key, map.next_value::<Text<'_>>()?.0)?,
                "run" => put(&mut fields.run, &key, map.next_value()?)?,
                "n" => put(&mut fields.n, &key, map.next_value()?)?,
                "base" => put(&mut fields.base, &key, map.next_value()?)?,
                _ => map.next_value_seed(Skip)?,
            }
        }
        Ok(fields)
    }
}

/// Text borrowed from the input where it holds no escape. Also what a run may be: text, or a whole number.
struct Text<'a>(Cow<'a, str>);
struct Run<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor { numbers: false }).map(Text)
    }
}

impl<'de> Deserialize<'de> for Run<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor { numbers: true }).map(Run)
    }
}

struct TextVisitor {
    numbers: bool,
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        if self.numbers {
            return Ok(Cow::Owned(number.to_string()));
        }
        Err(E::invalid_type(serde::de::Unexpected::Unsigned(number), &self))
    }
}

/// Passes over a value of any kind. Unlike `IgnoredAny` it counts nesting, so that depth stays bounded.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key::<IgnoredAny>()?.is_some() {
            fields.next_value_seed(Skip)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 16 * 1024;

    fn message(text: &str) -> Message {
        Message::new(UserName::new("ann").unwrap(), text)
    }

    fn decoded(bytes: &[u8]) -> Message {
        match decode(bytes, LIMIT) {
            Ok(Frame::Message(message, _)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_1_is_exactly_user_and_text() {
        assert_eq!(encode_v1(&message("hi \"you\"")), br#"{"user":"ann","text":"hi \"you\""}"#);
        assert_eq!(encode_v1(&message("a\r\nb\nc\u{2028}d")), br#"{"user":"ann","text":"a b c d"}"#);
    }

    #[test]
    fn version_2_carries_an_id_and_the_order() {
        let id = MessageId::new("i1").unwrap();
        let order = Order { run: MessageId::new("r").unwrap(), n: 7, base: Some(5) };
        let bytes = encode_v2(&message("a\nb"), &id, Some(&order));
        assert_eq!(bytes, br#"{"user":"ann","text":"a\nb","id":"i1","run":"r","n":7,"base":5}"#);
        assert_eq!(decode(&bytes, LIMIT).unwrap(), Frame::Message(message("a\nb").with_id(id), Some(order)));
    }

    #[test]
    fn acknowledgements_go_there_and_back() {
        let id = MessageId::new("a \"b\"").unwrap();
        let mut out = Vec::new();
        encode_ack(&id, &mut out);
        assert_eq!(decode(&out, LIMIT).unwrap(), Frame::Ack(id));
    }

    #[test]
    fn fields_come_in_any_order_with_escapes_and_strangers_among_them() {
        let text = r#" {"extra":[{"user":"x"},1.5,null],"te\u0078t":"h\u0069","more":{},"user":"bob"} "#;
        let message = decoded(text.as_bytes());
        assert_eq!((message.from.as_str(), &*message.text), ("bob", "hi"));
    }

    #[test]
    fn a_run_may_be_a_number() {
        let text = br#"{"user":"u","text":"t","id":"1","run":18446744073709551615,"n":1}"#;
        let Ok(Frame::Message(_, Some(order))) = decode(text, LIMIT) else { panic!("no order") };
        assert_eq!(order.run.as_str(), "18446744073709551615");
    }

    #[test]
    fn everything_else_is_an_error() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"["ann","hi"]"#,
            "null",
            r#""hi""#,
            "{",
            r#"{"user":"ann"}"#,
            r#"{"text":"hi"}"#,
            r#"{"user":"","text":"hi"}"#,
            r#"{"user":"a b","text":"hi"}"#,
            r#"{"user":1,"text":"hi"}"#,
            r#"{"user":"ann","text":null}"#,
            r#"{"user":"ann","text":["hi"]}"#,
            r#"{"user":"ann","text":"hi"}x"#,
            r#"{"user":"ann","user":"ann","text":"hi"}"#,
            r#"{"user":"ann","text":"hi","id":5}"#,
            r#"{"user":"ann","text":"hi","id":""}"#,
            r#"{"user":"ann","text":"hi","id":"1","run":"r","n":0}"#,
            r#"{"user":"ann","text":"hi","id":"1","run":"r","n":-1}"#,
            r#"{"ack":""}"#,
            r#"{"ack":"1","user":"a"}"#,
            r#"{"user":"System","text":"hi"}"#,
            r#"{"user":"ann","text":"\ud800"}"#,
            r#"{"user":"ann","text":"a}"#,
        ] {
            assert!(decode(bad.as_bytes(), LIMIT).is_err(), "{bad}");
        }
        assert!(decode(b"{\"user\":\"ann\",\"text\":\"\xff\"}", LIMIT).is_err());
        assert!(decode(b"id-checker 0190", LIMIT).is_err());
    }

    #[test]
    fn deep_nesting_in_an_unknown_field_is_an_error() {
        let deep = format!(r#"{{"x":{}{},"user":"a","text":"b"}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(matches!(decode(deep.as_bytes(), LIMIT), Err(CodecError::Syntax(_))));
    }

    #[test]
    fn a_text_over_the_limit_is_an_error_of_its_own() {
        let long = encode_v1(&message(&"x".repeat(LIMIT + 1)));
        assert_eq!(decode(&long, LIMIT), Err(CodecError::TooLong { limit: LIMIT }));
        assert!(decode(&encode_v1(&message(&"x".repeat(LIMIT))), LIMIT).is_ok());
        assert_eq!(&*decoded(br#"{"user":"ann","text":""}"#).text, "");
    }

    #[test]
    fn a_registrys_health_check_is_recognised() {
        assert_eq!(decode(br#"{"user":"healthCheck","text":"ping"}"#, LIMIT), Ok(Frame::HealthCheck));
    }

    proptest! {
        #[test]
        fn every_text_survives_version_2(text in any::<String>()) {
            let sent = message(&text);
            let id = MessageId::random();
            prop_assert_eq!(decoded(&encode_v2(&sent, &id, None)), sent.with_id(id));
        }

        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes, LIMIT);
        }
    }
}
