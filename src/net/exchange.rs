//! One request and its answer, as a recorder notes them.

use std::sync::Arc;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Method, Request};

use super::http::{Answer, percent_decode};
use crate::tape::{Frame, Piece, Recorder, Reel, Tape, Way};

/// What is noted of one request. Without a recorder it does nothing.
pub(crate) struct Exchange {
    noting: Option<Box<Noting>>,
}

struct Noting {
    tape: Arc<dyn Tape>,
    /// Until it is noted.
    head: Option<Text>,
    /// The bytes of the body, as it declares them.
    length: usize,
    subprotocol: bool,
    /// Only the head of the answer goes out.
    head_only: bool,
}

impl Exchange {
    /// Of a request to a service of `wire`. The connection's tape came with it; a service in another's server makes one
    /// for each request.
    pub(crate) fn of<B>(request: &mut Request<B>, own: Option<&Arc<dyn Recorder>>, wire: &'static str) -> Self {
        let reel: Option<Reel> = request.extensions_mut().remove();
        let reel = reel.or_else(|| own.cloned().map(Reel::new));
        let noting = reel.and_then(|reel| reel.tape(wire)).map(|tape| {
            let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            let subprotocol = request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL);
            let (head, head_only) = (Some(head(request)), request.method() == Method::HEAD);
            Box::new(Noting { tape, head, length: length.unwrap_or_default(), subprotocol, head_only })
        });
        Self { noting }
    }

    /// The tape, for what follows an upgrade.
    pub(crate) fn tape(&self) -> Option<Arc<dyn Tape>> {
        self.noting.as_ref().map(|noting| noting.tape.clone())
    }

    /// Notes the request, which has no body; once.
    pub(crate) fn ask(&mut self) {
        self.ask_with(Text::default);
    }

    /// Notes the request with what `body` makes of its body; once.
    pub(crate) fn ask_with(&mut self, body: impl FnOnce() -> Text) {
        let Some(noting) = &mut self.noting else { return };
        let Some(mut text) = noting.head.take() else { return };
        text.0.extend(body().0);
        noting.tape.note(Way::In, Frame::Http, &text.pieces());
    }

    /// Tells a secret that the answer holds.
    pub(crate) fn secret(&self, secret: &str) {
        if let Some(noting) = &self.noting {
            noting.tape.secret(secret);
        }
    }

    /// Notes the answer; before it the request, if nobody read its body.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        let Some(noting) = &self.noting else { return };
        let Noting { length, subprotocol, head_only, .. } = **noting;
        let tape = noting.tape.clone();
        self.ask_with(|| Text::unread(length));
        let status = answer.status();
        let mut text = Text::default();
        text.plain(&format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default()));
        fields(&mut text, answer.headers(), &[CONTENT_TYPE, ALLOW, RETRY_AFTER, WWW_AUTHENTICATE]);
        if subprotocol {
            subprotocols(&mut text, answer.headers());
        }
        text.plain("\r\n");
        // Every body of ours is whole.
        let body = answer.body().clone().frame().now_or_never().flatten();
        let body = body.and_then(|frame| frame.ok()?.into_data().ok()).unwrap_or_default();
        if !head_only {
            text.bytes(&body);
        }
        tape.note(Way::Out, Frame::Http, &text.pieces());
    }
}

/// A text and where in it secrets stand.
#[derive(Default)]
pub(crate) struct Text(Vec<Part>);

enum Part {
    Plain(Vec<u8>),
    Secret(String),
    Unread(usize),
}

impl Text {
    /// So many bytes of which nobody knows whether they hold a secret.
    pub(crate) fn unread(length: usize) -> Self {
        Self(if length == 0 { Vec::new() } else { vec![Part::Unread(length)] })
    }

    /// What holds no secret.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(vec![Part::Plain(bytes.to_vec())])
    }

    /// Goes on with what is no secret.
    pub(crate) fn plain(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The same with bytes that may be no text.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Part::Plain(before)) => before.extend_from_slice(bytes),
            _ => self.0.push(Part::Plain(bytes.to_vec())),
        }
    }

    /// Goes on with a secret.
    pub(crate) fn secret(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Part::Secret(text.to_owned()));
        }
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let piece = |part| match part {
            &Part::Unread(length) => Piece::Unread(length),
            Part::Plain(bytes) => Piece::Plain(bytes),
            Part::Secret(text) => Piece::Secret(text),
        };
        self.0.iter().map(piece).collect()
    }
}

/// The request's line and those fields that our services look at. A query's values are secrets, but for those of keys
/// that never hold one: what does not belong there may be one.
fn head<B>(request: &Request<B>) -> Text {
    let (uri, headers, mut text) = (request.uri(), request.headers(), Text::default());
    text.plain(&format!("{} {}", request.method(), uri.path()));
    for (at, pair) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        text.plain(if at == 0 { "?" } else { "&" });
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "nickname" | "ttl" => text.plain(pair),
            "secret" => {
                text.plain("secret=");
                text.secret(&percent_decode(&value.replace('+', " ")).unwrap_or_else(|_| value.to_owned()));
            }
            _ => text.secret(pair),
        }
    }
    text.plain(" HTTP/1.1\r\n");
    fields(&mut text, headers, &[CONTENT_TYPE, ACCEPT, ORIGIN, UPGRADE]);
    for value in headers.get_all(AUTHORIZATION).iter().map(|value| String::from_utf8_lossy(value.as_bytes())) {
        text.plain("authorization: ");
        bearer(&mut text, &value);
        text.plain("\r\n");
    }
    subprotocols(&mut text, headers);
    text.plain("\r\n");
    text
}

fn fields(text: &mut Text, headers: &HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in headers.get_all(name) {
            text.plain(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
    }
}

/// Each is a secret, but for the names of versions.
fn subprotocols(text: &mut Text, headers: &HeaderMap) {
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        text.plain("sec-websocket-protocol: ");
        for (at, item) in String::from_utf8_lossy(value.as_bytes()).split(',').map(str::trim).enumerate() {
            text.plain(if at == 0 { "" } else { ", " });
            match item {
                "talk.v2" => text.plain(item),
                item => bearer(text, item),
            }
        }
        text.plain("\r\n");
    }
}

/// What stands where a token does, with the word before it or without.
fn bearer(text: &mut Text, value: &str) {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => {
            text.plain(scheme);
            text.plain(" ");
            text.secret(token.trim());
        }
        _ => text.secret(value),
    }
}
