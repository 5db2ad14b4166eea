//! JSON Schema (draft 2020-12), as far as the schemas of this repository use it: a keyword that is not known here fails
//! the test that meets it.

use serde_json::Value;

/// A document whose schemas may refer to parts of it.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    /// What a reference points to, or the value itself.
    pub(crate) fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                assert_eq!(value.as_object().unwrap().len(), 1, "a reference stands alone");
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                self.resolved(self.0.pointer(pointer).unwrap_or_else(|| panic!("nothing at {reference}")))
            }
            None => value,
        }
    }

    /// The one of some alternatives that a value fits.
    pub(crate) fn only<'a>(&'a self, alternatives: &'a Value, value: &Value) -> Option<&'a Value> {
        let alternatives = alternatives.as_array().expect("a list of schemas").iter();
        let mut fitting = alternatives.filter(|schema| self.misfit(schema, value, "").is_none());
        let first = fitting.next()?;
        fitting.next().is_none().then(|| self.resolved(first))
    }

    /// Why a value does not fit a schema, with the place.
    pub(crate) fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolved(schema);
        for (keyword, rule) in schema.as_object().expect("a schema is an object") {
            let fits = match keyword.as_str() {
                "type" => match rule {
                    Value::Array(kinds) => kinds.iter().any(|kind| is_a(kind, value)),
                    kind => is_a(kind, value),
                },
                "const" => rule == value,
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => integer(value).is_none_or(|n| n >= integer(rule).unwrap()),
                "maximum" => integer(value).is_none_or(|n| n <= integer(rule).unwrap()),
                "minLength" => value.as_str().is_none_or(|s| s.chars().count() as u64 >= rule.as_u64().unwrap()),
                "maxLength" => value.as_str().is_none_or(|s| s.chars().count() as u64 <= rule.as_u64().unwrap()),
                "maxItems" => value.as_array().is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
                "pattern" => value.as_str().is_none_or(|s| matches(rule.as_str().unwrap(), s)),
                "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
                "oneOf" => self.only(rule, value).is_some(),
                "not" => self.misfit(rule, value, at).is_some(),
                "items" => {
                    let items = value.as_array().into_iter().flatten();
                    if let Some(why) = items.filter_map(|item| self.misfit(rule, item, at)).next() {
                        return Some(why);
                    }
                    true
                }
                "properties" => {
                    for (key, schema) in rule.as_object().unwrap() {
                        let inner = value.get(key).and_then(|v| self.misfit(schema, v, &format!("{at}/{key}")));
                        if inner.is_some() {
                            return inner;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    let others = value.as_object().into_iter().flatten();
                    let mut others = others.filter(|(key, _)| known.is_none_or(|k| !k.contains_key(*key)));
                    match rule {
                        Value::Bool(false) => others.next().is_none(),
                        rule => {
                            if let Some(why) = others.find_map(|(key, v)| self.misfit(rule, v, &format!("{at}/{key}")))
                            {
                                return Some(why);
                            }
                            true
                        }
                    }
                }
                "$schema" | "$defs" | "title" | "description" | "examples" => true,
                other => panic!("this test does not know the keyword {other}"),
            };
            if !fits {
                return Some(format!("{at}: {value} breaks {keyword}: {rule}"));
            }
        }
        None
    }
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("this test does not know the type {other}"),
    }
}

fn integer(value: &Value) -> Option<i128> {
    value.as_u64().map(i128::from).or(value.as_i64().map(i128::from))
}

/// Whether a text is what a pattern describes: characters and classes from `^` to `$`, each with `+`, `{n}`, `{n,m}` or
/// nothing behind it, and none that begins with what the one before it may hold.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect("a pattern of the whole text");
    let (mut rest, mut text) = (inner.chars().peekable(), text.chars().peekable());
    while let Some(first) = rest.next() {
        let (mut negated, mut ranges) = (false, Vec::new());
        match first {
            '[' => {
                negated = rest.next_if_eq(&'^').is_some();
                while rest.next_if_eq(&']').is_none() {
                    let from = one(&mut rest);
                    // A hyphen before the end of the class is itself.
                    let mut ahead = rest.clone();
                    let range = ahead.next() == Some('-') && ahead.next() != Some(']');
                    let to = if range {
                        rest.next();
                        one(&mut rest)
                    } else {
                        from
                    };
                    ranges.push(from..=to);
                }
            }
            plain => {
                assert!(plain.is_ascii_alphanumeric() || plain == '@', "this test does not know {plain} in a pattern");
                ranges.push(plain..=plain);
            }
        }
        let (least, most) = if rest.next_if_eq(&'+').is_some() {
            (1, usize::MAX)
        } else if rest.next_if_eq(&'{').is_some() {
            let bounds: String = rest.by_ref().take_while(|c| *c != '}').collect();
            let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
            (least.parse().unwrap(), most.parse().unwrap())
        } else {
            (1, 1)
        };
        let fits = |c: &char| ranges.iter().any(|range| range.contains(c)) != negated;
        let mut count = 0;
        while count < most && text.next_if(fits).is_some() {
            count += 1;
        }
        if count < least {
            return false;
        }
    }
    text.next().is_none()
}

/// One character of a class, which may be written as `\uXXXX`.
fn one(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> char {
    match rest.next().expect("a class ends") {
        '\\' => {
            assert_eq!(rest.next(), Some('u'), "this test knows no other escape");
            let digits: String = rest.by_ref().take(4).collect();
            char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
        }
        plain => plain,
    }
}
