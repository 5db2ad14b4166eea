//! The text format of OpenMetrics 1.0, read as strictly as its specification allows.

use std::collections::{BTreeMap, BTreeSet};

/// All samples, by name and labels as they are written: `talk_sessions`, `x_total{reason="exit"}`.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) samples: BTreeMap<String, f64>,
    /// Type by family.
    pub(crate) types: BTreeMap<String, String>,
}

#[derive(Default)]
struct Family {
    name: String,
    kind: Option<String>,
    unit: Option<String>,
    help: bool,
    /// Buckets, sum and count by the labels beside `le`.
    histograms: BTreeMap<String, Histogram>,
    begun: bool,
}

#[derive(Default)]
struct Histogram {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Exposition {
    /// # Errors
    /// The first line that breaks a rule, and the rule.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
        if !(body.is_empty() || body.ends_with('\n')) || body.contains('\r') {
            return Err("a line does not end with a line feed".into());
        }
        let mut all = Self::default();
        let mut family = Family::default();
        for line in body.lines() {
            all.line(&mut family, line).map_err(|why| format!("{line:?}: {why}"))?;
        }
        all.end(family)?;
        Ok(all)
    }

    /// A sample that must be there.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("{sample} in {:#?}", self.samples))
    }

    /// A sample, 0 when it is not there.
    pub(crate) fn count(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }

    fn line(&mut self, family: &mut Family, line: &str) -> Result<(), String> {
        let Some(comment) = line.strip_prefix("# ") else {
            if line.starts_with('#') {
                return Err("a comment that is no metadata".into());
            }
            return self.sample(family, line);
        };
        let mut words = comment.splitn(3, ' ');
        let (what, name, rest) = (words.next(), words.next(), words.next());
        let (Some(what), Some(name), Some(rest)) = (what, name, rest) else {
            return Err("metadata has three parts".into());
        };
        if family.name != name {
            is_name(name, true)?;
            self.end(std::mem::replace(family, Family { name: name.into(), ..Family::default() }))?;
            if self.types.contains_key(name) {
                return Err("the family was there already".into());
            }
        }
        if family.begun {
            return Err("metadata after a sample".into());
        }
        let before = match what {
            "HELP" => {
                unescaped(rest)?;
                std::mem::replace(&mut family.help, true)
            }
            "TYPE" if KINDS.contains(&rest) => family.kind.replace(rest.into()).is_some(),
            "UNIT" if name.ends_with(&format!("_{rest}")) => family.unit.replace(rest.into()).is_some(),
            _ => return Err("no such metadata, or no such value".into()),
        };
        if before { Err("it comes twice".into()) } else { Ok(()) }
    }

    fn sample(&mut self, family: &mut Family, line: &str) -> Result<(), String> {
        family.begun = true;
        let end = line.find(['{', ' ']).ok_or("there is no value")?;
        let (name, rest) = line.split_at(end);
        is_name(name, true)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = value.strip_prefix(' ').ok_or("no space before the value")?;
        let value = number(value)?;
        let kind = family.kind.as_deref().ok_or("a sample without a type")?;
        let suffix = name.strip_prefix(&family.name).ok_or("the sample belongs to another family")?;
        let le = labels.iter().position(|(label, _)| label == "le");
        match (kind, suffix) {
            ("gauge", "") if le.is_none() => {}
            ("counter", "_total") if value >= 0.0 && value.is_finite() && le.is_none() => {}
            ("info", "_info") if value == 1.0 => {}
            ("histogram", "_bucket" | "_sum" | "_count") => {
                let beside: Vec<_> = labels.iter().filter(|(label, _)| label != "le").collect();
                let histogram = family.histograms.entry(format!("{beside:?}")).or_default();
                match (suffix, le) {
                    ("_bucket", Some(at)) => histogram.buckets.push((number(&labels[at].1)?, value)),
                    ("_sum", None) if value >= 0.0 => histogram.sum = Some(value),
                    ("_count", None) => histogram.count = Some(value),
                    _ => return Err("le belongs to buckets, and to them alone".into()),
                }
            }
            _ => return Err(format!("a {kind} has no such sample")),
        }
        let shown: Vec<_> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        let shown = if shown.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", shown.join(",")) };
        match self.samples.insert(shown, value) {
            Some(_) => Err("the sample comes twice".into()),
            None => Ok(()),
        }
    }

    fn end(&mut self, family: Family) -> Result<(), String> {
        let Family { name, kind, help, histograms, .. } = family;
        if name.is_empty() {
            return Ok(());
        }
        let Some(kind) = kind.filter(|_| help) else { return Err(format!("{name} has no type or no help")) };
        for (labels, Histogram { buckets, sum, count }) in histograms {
            let rising = buckets.is_sorted_by(|(le, count), (next, more)| le < next && count <= more);
            let last = buckets.last().filter(|(le, _)| *le == f64::INFINITY).map(|(_, count)| *count);
            if !rising || last.is_none() || sum.is_none() || last != count {
                return Err(format!("{name} {labels}: {buckets:?} {sum:?} {count:?} is no histogram"));
            }
        }
        self.types.insert(name, kind);
        Ok(())
    }
}

type Labels = Vec<(String, String)>;

/// The labels before `}`, and what follows it.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let (mut labels, mut names) = (Vec::new(), BTreeSet::new());
    if let Some(after) = rest.strip_prefix('}') {
        return Ok((labels, after));
    }
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("a label is name=\"value\"")?;
        is_name(name, false)?;
        if !names.insert(name) {
            return Err(format!("{name} comes twice"));
        }
        let mut escaped = false;
        let end = value.find(|c| {
            let end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            end
        });
        let (value, after) = value.split_at(end.ok_or("a value has no end")?);
        labels.push((name.to_owned(), unescaped(value)?));
        match after.as_bytes() {
            [b'"', b',', ..] => rest = &after[2..],
            [b'"', b'}', ..] => return Ok((labels, &after[2..])),
            _ => return Err("no comma and no end after a label".into()),
        }
    }
}

fn is_name(name: &str, colons: bool) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    if name.chars().all(good) && name.starts_with(|c: char| !c.is_ascii_digit()) {
        Ok(())
    } else {
        Err(format!("{name:?} is no name"))
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => return Err(format!("\\ before {other:?}")),
            },
            c if c.is_control() => return Err(format!("{c:?} is not escaped")),
            c => c,
        });
    }
    Ok(out)
}

/// `f64` takes more than the format does: `inf`, `infinity`, `nan` in any case.
fn number(text: &str) -> Result<f64, String> {
    let real = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ if real => text.parse().map_err(|_| format!("{text:?} is no number")),
        _ => Err(format!("{text:?} is no number")),
    }
}

const KINDS: [&str; 4] = ["gauge", "counter", "info", "histogram"];
