//! Whether what was heard is what was recorded, but for what every server makes anew.

use std::collections::HashMap;

use uuid::Uuid;

use super::recording::Frame;

/// What stands for what was recorded.
#[derive(Debug, Default)]
pub(crate) struct Known {
    secrets: HashMap<String, String>,
    /// Ids and epochs.
    values: HashMap<String, String>,
}

/// A part of a recorded text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part<'a> {
    Plain(&'a str),
    /// A secret's mark: its number.
    Secret(&'a str),
    /// Two braces.
    Open,
    /// So many bytes that nobody looked at.
    Unread(usize),
    /// An id, or an epoch.
    Value(&'a str),
    /// A number that tells a time.
    Number(&'a str),
    /// A time of day.
    Clock(&'a str),
}

impl Known {
    /// What is to be sent for what was. A secret that nobody has told yet is made.
    pub(crate) fn fill(&mut self, recorded: &str) -> String {
        for part in parts(recorded) {
            match part {
                Part::Secret(number) => {
                    self.secrets.entry(number.to_owned()).or_insert_with(|| Uuid::new_v4().simple().to_string());
                }
                // From here on it is the client's own.
                Part::Value(value) => _ = self.values.entry(value.to_owned()).or_insert_with(|| value.to_owned()),
                _ => {}
            }
        }
        self.fill_known(recorded)
    }

    /// The same, where marks stay for what is not known.
    pub(crate) fn fill_known(&self, recorded: &str) -> String {
        let mut filled = String::new();
        for part in parts(recorded) {
            match part {
                Part::Plain(text) | Part::Number(text) | Part::Clock(text) => filled.push_str(text),
                Part::Open => filled.push_str("{{"),
                Part::Unread(length) => filled.extend(std::iter::repeat_n('x', length)),
                Part::Value(value) => filled.push_str(self.values.get(value).map_or(value, String::as_str)),
                Part::Secret(number) => match self.secrets.get(number) {
                    Some(secret) => filled.push_str(secret),
                    None => filled.push_str(&format!("{{{{secret:{number}}}}}")),
                },
            }
        }
        filled
    }

    /// Whether it was heard so; then what the server made anew is known.
    pub(crate) fn same(&mut self, recorded: &Frame, heard: &Frame) -> bool {
        match (recorded, heard) {
            (Frame::Text(recorded), Frame::Text(heard)) | (Frame::Http(recorded), Frame::Http(heard)) => {
                self.learn(recorded, heard).is_some()
            }
            (Frame::Close(code, recorded), Frame::Close(other, heard)) => {
                code == other && self.learn(recorded, heard).is_some()
            }
            (Frame::Ping(_), Frame::Ping(_)) | (Frame::Pong(_), Frame::Pong(_)) => true,
            (recorded, heard) => recorded == heard,
        }
    }

    fn learn(&mut self, recorded: &str, heard: &str) -> Option<()> {
        let (mut rest, mut secrets, mut values) = (heard, Vec::new(), Vec::new());
        for part in parts(recorded) {
            rest = match part {
                Part::Plain(text) => rest.strip_prefix(text)?,
                Part::Open => rest.strip_prefix("{{")?,
                Part::Unread(_) => return None,
                Part::Number(_) => after(rest, |c| c.is_ascii_digit())?.1,
                Part::Clock(_) => after(rest, |c| c.is_ascii_digit() || c == ':')?.1,
                Part::Value(value) => {
                    let (new, rest) = match self.values.get(value) {
                        Some(known) => (known.as_str(), rest.strip_prefix(known.as_str())?),
                        // As long as the other: what stands behind it may be made of the same characters.
                        None => rest.split_at_checked(value.len())?,
                    };
                    let fits = |c: char| c.is_ascii_hexdigit() || c == '-';
                    values.push((value.to_owned(), new.to_owned()));
                    new.chars().all(fits).then_some(rest)?
                }
                Part::Secret(number) => {
                    let (new, rest) = match self.secrets.get(number) {
                        Some(known) => (known.as_str(), rest.strip_prefix(known.as_str())?),
                        None => after(rest, |c| c.is_ascii_alphanumeric() || "-._~+/=".contains(c))?,
                    };
                    secrets.push((number.to_owned(), new.to_owned()));
                    rest
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        self.values.extend(values);
        self.secrets.extend(secrets);
        Some(())
    }
}

/// Whether nobody knows what was sent.
pub(crate) fn is_unread(sent: &Frame) -> bool {
    matches!(sent, Frame::Http(text) | Frame::Text(text) if parts(text).iter().any(|part| matches!(part, Part::Unread(_))))
}

/// The first line of an answer.
pub(crate) fn status(answer: Frame) -> Frame {
    match answer {
        Frame::Http(text) => Frame::Http(text.lines().next().unwrap_or_default().to_owned()),
        other => other,
    }
}

/// What fits at the front, at least one character, and what is behind it.
fn after(text: &str, fits: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut plain, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let Some((part, length)) = special(text, at) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if plain < at {
            parts.push(Part::Plain(&text[plain..at]));
        }
        parts.push(part);
        at += length;
        plain = at;
    }
    if plain < text.len() {
        parts.push(Part::Plain(&text[plain..]));
    }
    parts
}

/// What begins there besides plain text, and its length.
fn special(text: &str, at: usize) -> Option<(Part<'_>, usize)> {
    let (before, rest) = (&text[..at], &text[at..]);
    if let Some(mark) = rest.strip_prefix("{{") {
        let (mark, _) = mark.split_once("}}")?;
        let part = match mark.split_once(':') {
            None if mark == "open" => Part::Open,
            Some(("secret", number)) => Part::Secret(number),
            Some(("unread", length)) => Part::Unread(length.parse().ok()?),
            _ => return None,
        };
        return Some((part, mark.len() + 4));
    }
    if before.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    if TIMES.iter().any(|key| before.ends_with(key)) {
        let (number, _) = after(rest, |c| c.is_ascii_digit())?;
        return Some((Part::Number(number), number.len()));
    }
    let word =
        |length: usize| rest.get(..length).filter(|_| !rest[length..].starts_with(|c: char| c.is_ascii_alphanumeric()));
    if let Some(clock) = word(8).filter(|clock| is_clock(clock)) {
        return Some((Part::Clock(clock), 8));
    }
    if let Some(id) = word(36).filter(|id| Uuid::try_parse(id).is_ok()) {
        return Some((Part::Value(id), 36));
    }
    let hex = |text: &&str| text.bytes().all(|b| b.is_ascii_hexdigit());
    word(32).filter(hex).map(|value| (Part::Value(value), 32))
}

fn is_clock(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_digit() })
}

/// Behind these stands a time.
const TIMES: [&str; 5] = ["\"ts\":", "\"expires\":", "\"issued\":", "\"ends\":", "retry-after: "];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_the_server_made_anew_may_have_a_number_behind_it() {
        let (old, new) = ("01a20075187e75e4b902f5fe4cfce445", "01a2007824da7651a6521c164dfe8586");
        let frame = |id: &str| Frame::Text(format!(r#"{{"id":"{id}-1","from":"zoe"}}"#));
        let mut known = Known::default();
        assert!(known.same(&frame(old), &frame(new)));
        // From then on it is known.
        assert!(known.same(&frame(old), &frame(new)) && !known.same(&frame(old), &frame(old)));
        let other = |text: &str| Frame::Text(format!(r#"{{"id":"{text}-1","from":"zoe"}}"#));
        for wrong in
            ["01a2007824da7651a6521c164dfe858", "01a2007824da7651a6521c164dfe858é", "no id of 32 bytes, but as long.."]
        {
            assert!(!Known::default().same(&frame(old), &other(wrong)), "{wrong}");
        }
    }
}
