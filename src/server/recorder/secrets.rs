//! Which secrets were seen, and what stands for them in a recording.

use std::collections::HashMap;

/// Every secret that a recorder was told of. They are in memory while it records, and nowhere else.
#[derive(Default)]
pub(super) struct Secrets {
    numbers: HashMap<Box<[u8]>, u32>,
    /// The same, and as JSON writes them, by their first bytes: where one of them begins.
    starts: HashMap<[u8; START], Vec<Form>>,
    /// The same by their first two bytes, a bit for each: most places need no closer look.
    pairs: Pairs,
}

impl Secrets {
    /// The number of a secret, a new one if it was never seen; `None` when there are too many.
    pub(super) fn number(&mut self, secret: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(secret.as_bytes()) {
            return Some(*number);
        }
        if self.numbers.len() >= MOST || secret.len() > LONGEST {
            return None;
        }
        let number = u32::try_from(self.numbers.len()).ok()? + 1;
        self.numbers.insert(secret.as_bytes().into(), number);
        let quoted = serde_json::Value::from(secret).to_string();
        let escaped = &quoted[1..quoted.len() - 1];
        for form in [Some(secret), Some(escaped).filter(|escaped| *escaped != secret)].into_iter().flatten() {
            if let Some(start) = form.as_bytes().first_chunk() {
                self.pairs.add(form.as_bytes());
                self.starts.entry(*start).or_default().push((form.as_bytes().into(), number));
            }
        }
        Some(number)
    }

    /// Appends bytes from `at` on, with a mark wherever a secret stands, and tells how far it came: a long way for one
    /// who waits for it. What looks like the beginning of a mark becomes one.
    pub(super) fn hide(&self, bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
        let end = bytes.len().min(at.saturating_add(STEP));
        while at < end {
            let rest = &bytes[at..];
            let known = rest.first_chunk().filter(|_| self.pairs.holds(rest)).and_then(|start| self.starts.get(start));
            // Of several the longest: what is left of it would be a part of a secret.
            let found = known.into_iter().flatten().filter(|(secret, _)| rest.starts_with(secret));
            if let Some((secret, number)) = found.max_by_key(|(secret, _)| secret.len()) {
                out.extend_from_slice(mark(*number).as_bytes());
                at += secret.len();
            } else if rest.starts_with(b"{{") {
                out.extend_from_slice(b"{{open}}");
                at += 2;
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        at
    }
}

/// How a secret looks, and its number.
type Form = (Box<[u8]>, u32);

struct Pairs(Box<[u64]>);

impl Pairs {
    fn add(&mut self, secret: &[u8]) {
        if let Some((word, bit)) = Self::place(secret) {
            self.0[word] |= 1 << bit;
        }
    }

    fn holds(&self, text: &[u8]) -> bool {
        Self::place(text).is_some_and(|(word, bit)| self.0[word] & 1 << bit != 0)
    }

    fn place(text: &[u8]) -> Option<(usize, u32)> {
        let pair = u16::from_be_bytes(*text.first_chunk()?);
        Some((usize::from(pair >> 6), u32::from(pair & 63)))
    }
}

impl Default for Pairs {
    fn default() -> Self {
        Self(vec![0; 1 << 10].into())
    }
}

/// What stands for a secret.
pub(super) fn mark(number: u32) -> String {
    format!("{{{{secret:{number}}}}}")
}

/// Bytes by which a secret is found where nobody said that it stands. None that our servers make is shorter.
const START: usize = 8;
/// Bytes that are looked at before others may bring a secret.
const STEP: usize = 16 * 1024;
/// Secrets that are known. Whoever brings one more is not recorded any further.
const MOST: usize = 1 << 16;
/// Bytes of a secret. No wire has room for more, but for lines of minechat, where none is so long.
const LONGEST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secrets: &Secrets, text: &str) -> String {
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            at = secrets.hide(text.as_bytes(), at, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_has_one_number_wherever_it_stands() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.number("password"), Some(1));
        assert_eq!(secrets.number("password-2"), Some(2));
        assert_eq!(secrets.number("say \"friend\""), Some(3));
        assert_eq!(secrets.number("short"), Some(4));
        assert_eq!(secrets.number("password"), Some(1));
        for (text, expected) in [
            ("password-2password", "{{secret:2}}{{secret:1}}"),
            ("my passwords", "my {{secret:1}}s"),
            (r#"{"a":"say \"friend\""}"#, r#"{"a":"{{secret:3}}"}"#),
            ("say \"friend\"", "{{secret:3}}"),
            ("passwor", "passwor"),
            (&format!("{}password", "x".repeat(STEP - 3)), &format!("{}{{{{secret:1}}}}", "x".repeat(STEP - 3))),
            ("{{secret:1}} {{{", "{{open}}secret:1}} {{open}}{"),
        ] {
            assert_eq!(hidden(&secrets, text), expected);
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let mut secrets = Secrets::default();
        for n in 0..MOST {
            assert!(secrets.number(&format!("secret {n}")).is_some());
        }
        assert_eq!(secrets.number("one more"), None);
        assert_eq!(secrets.number("secret 7"), Some(8));
        assert_eq!(Secrets::default().number(&"x".repeat(LONGEST + 1)), None);
    }
}
