//! Where a setting comes from: the command line, then the environment, then a TOML file, then the default. An error
//! names the place that the bad value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::options::Exit;
use crate::text::beginning;

/// The environment as a program is started with it, to be passed around instead of read here and there.
pub type Environment = BTreeMap<String, OsString>;

/// Takes the environment from pairs as `std::env::vars_os` gives them; names that are not UTF-8 are left out.
pub fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
}

/// Looks settings up, layer by layer.
#[derive(Debug, Default)]
pub struct Settings {
    environment: Environment,
    file: Option<SettingsFile>,
}

impl Settings {
    /// Settings from the environment and perhaps a file.
    #[must_use]
    pub fn new(environment: Environment, file: Option<SettingsFile>) -> Self {
        Self { environment, file }
    }

    /// The setting `key` (`public-url`): the option `--public-url` if it was given, else the variable
    /// `TALK_PUBLIC_URL`, else `public-url` of the file.
    ///
    /// # Errors
    /// [`Exit::Usage`] with `parse`'s error behind the place that the value came from.
    pub fn value<T, E: Display>(
        &self,
        key: &str,
        option: Option<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Exit> {
        let bad = |place: &str, value: &str, error: E| Exit::usage(format_args!("{place} {}: {error}", shown(value)));
        if let Some(value) = option {
            return parse(value).map(Some).map_err(|error| bad(&format!("--{key}"), value, error));
        }
        let variable = format!("TALK_{}", key.replace('-', "_").to_ascii_uppercase());
        if let Some(value) = self.variable(&variable, &parse)? {
            return Ok(Some(value));
        }
        let Some(file) = &self.file else { return Ok(None) };
        let Some(value) = file.values.get(key) else { return Ok(None) };
        parse(value).map(Some).map_err(|error| bad(&format!("{}: {key} =", file.path.display()), value, error))
    }

    /// A variable of the environment; one that is empty counts as not set.
    ///
    /// # Errors
    /// [`Exit::Usage`] when it is not UTF-8 or `parse` refuses it.
    pub fn variable<T, E: Display>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, Exit> {
        let Some(value) = self.environment.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let value = value.to_str().ok_or_else(|| Exit::usage(format_args!("{name} is not UTF-8")))?;
        parse(value).map(Some).map_err(|error| Exit::usage(format_args!("{name} {}: {error}", shown(value))))
    }
}

/// A TOML file of settings, flat: `key = "text"`, `key = 8080` or `key = true`.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct SettingsFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

impl SettingsFile {
    /// Reads a file that must exist.
    ///
    /// # Errors
    /// [`Exit::Usage`] when it cannot be read, or as [`SettingsFile::parse`].
    pub fn read(path: &Path, keys: &[&str]) -> Result<Self, Exit> {
        Self::parse(path, &read_file(path, "leave it away")?, keys)
    }

    /// Reads a file that need not exist.
    ///
    /// # Errors
    /// As [`SettingsFile::read`], but `None` when there is no file.
    pub fn read_if_there(path: &Path, keys: &[&str]) -> Result<Option<Self>, Exit> {
        if path.exists() { Self::read(path, keys).map(Some) } else { Ok(None) }
    }

    /// Takes the settings from TOML. `keys` are the ones known, written with `-`; `_` is taken for `-`.
    ///
    /// # Errors
    /// [`Exit::Usage`] names the file, and the key when it is unknown, comes twice, or its value is no plain one.
    pub fn parse(path: &Path, text: &str, keys: &[&str]) -> Result<Self, Exit> {
        let place = path.display();
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.lines().count());
            Exit::usage(format_args!("{place} is not TOML: line {}: {}", line.max(1), error.message()))
        })?;
        let mut values = BTreeMap::new();
        for (written, value) in table {
            let key = written.replace('_', "-");
            if !keys.contains(&key.as_str()) {
                let known = keys.join(", ");
                return Err(Exit::usage(format_args!("{place}: unknown key {written:?}; known are {known}")));
            }
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                other => {
                    let kind = other.type_str();
                    return Err(Exit::usage(format_args!("{place}: {written} must be text or a number, not {kind}")));
                }
            };
            if values.insert(key, value).is_some() {
                return Err(Exit::usage(format_args!("{place}: {written} comes twice, with '-' and with '_'")));
            }
        }
        Ok(Self { path: path.to_owned(), values })
    }
}

/// The text of a file that `--config` or `TALK_CONFIG` names; or what else to do than name one that is not there.
pub(super) fn read_file(path: &Path, or_else: &str) -> Result<String, Exit> {
    if path.as_os_str().is_empty() {
        return Err(Exit::usage(format_args!("--config needs the name of a file; or {or_else}")));
    }
    std::fs::read_to_string(path).map_err(|error| {
        let place = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Exit::usage(format_args!(
                "cannot read {place}: {error}; give --config (or TALK_CONFIG) a file that is there, or {or_else}"
            )),
            _ => Exit::usage(format_args!("cannot read {place}: {error}")),
        }
    })
}

/// A value as an error repeats it.
pub(super) fn shown(value: &str) -> String {
    format!("{:?}", beginning(value, SHOWN))
}

/// Where a program keeps its data: `talk/<part>` in the platform's data directory, or `<part>` in `TALK_DATA`.
///
/// # Errors
/// [`Exit::Usage`] when there is neither `TALK_DATA` nor a home directory.
pub fn data_directory(environment: &Environment, part: &str) -> Result<PathBuf, Exit> {
    if let Some(parent) = environment.get("TALK_DATA").filter(|value| !value.is_empty()) {
        return Ok(Path::new(parent).join(part));
    }
    let platform = etcetera::base_strategy::choose_native_strategy()
        .map_err(|_| Exit::usage("there is no home directory to keep data in; set TALK_DATA"))?;
    Ok(platform.data_dir().join("talk").join(part))
}

/// Where a settings file is looked for when none is named: `talk/<file>` in the platform's configuration directory.
#[must_use]
pub fn default_file(file: &str) -> Option<PathBuf> {
    let platform = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(platform.config_dir().join("talk").join(file))
}

/// Characters of a value that an error repeats.
pub(super) const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_port;

    const KEYS: &[&str] = &["port", "public-url"];

    fn settings(variables: &[(&str, &str)], file: &str) -> Settings {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let file = SettingsFile::parse(Path::new("/etc/t.toml"), file, KEYS).unwrap();
        Settings::new(environment(variables), Some(file))
    }

    fn refused(text: &str) -> String {
        SettingsFile::parse(Path::new("/etc/t.toml"), text, KEYS).unwrap_err().to_string()
    }

    #[test]
    fn the_option_wins_over_the_environment_and_that_over_the_file() {
        let all = settings(&[("TALK_PORT", "2")], "port = 3");
        assert_eq!(all.value("port", Some("1"), parse_port), Ok(Some(1)));
        assert_eq!(all.value("port", None, parse_port), Ok(Some(2)));
        assert_eq!(settings(&[], "port = 3").value("port", None, parse_port), Ok(Some(3)));
        assert_eq!(settings(&[("TALK_PORT", "")], "port = '4'").value("port", None, parse_port), Ok(Some(4)));
        assert_eq!(settings(&[], "").value("port", None, parse_port), Ok(None));
    }

    #[test]
    fn a_bad_value_is_reported_with_its_place() {
        let all = settings(&[("TALK_PORT", "x")], "port = -3");
        let error =
            |option: Option<&str>, all: &Settings| all.value("port", option, parse_port).unwrap_err().to_string();
        assert!(error(Some("y"), &all).starts_with("--port \"y\": a port is"), "{}", error(Some("y"), &all));
        assert!(error(None, &all).starts_with("TALK_PORT \"x\": a port is"));
        let long = error(Some(&"x".repeat(1000)), &all);
        assert!(long.starts_with("--port \"xxx") && long.contains("x\u{2026}\": a port is"), "{long}");
        assert!(long.chars().count() < 200, "{long}");
        let file = settings(&[], "port = -3");
        assert!(error(None, &file).starts_with("/etc/t.toml: port = \"-3\": a port is"), "{}", error(None, &file));
    }

    #[test]
    fn a_key_of_two_words_takes_either_dash() {
        for text in ["public-url = 'u'", "public_url = 'u'"] {
            let url = settings(&[], text).value("public-url", None, |url| Ok::<_, String>(url.to_owned()));
            assert_eq!(url, Ok(Some("u".to_owned())));
        }
        let url =
            settings(&[("TALK_PUBLIC_URL", "e")], "").value("public-url", None, |u| Ok::<_, String>(u.to_owned()));
        assert_eq!(url, Ok(Some("e".to_owned())));
    }

    #[test]
    fn files_are_refused_with_the_key_that_is_wrong() {
        assert_eq!(refused("prot = 1"), "/etc/t.toml: unknown key \"prot\"; known are port, public-url");
        assert!(refused("port = [1]").contains("port must be text or a number, not array"));
        assert!(refused("public-url = 'a'\npublic_url = 'b'").contains("comes twice"));
        assert!(refused("port = 1\nurl 1").contains("is not TOML: line 2: "));
        let missing = SettingsFile::read(Path::new("/nonexistent/t.toml"), KEYS).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nonexistent/t.toml: "), "{missing}");
        assert!(
            missing.ends_with("give --config (or TALK_CONFIG) a file that is there, or leave it away"),
            "{missing}"
        );
        let nameless = SettingsFile::read(Path::new(""), KEYS).unwrap_err().to_string();
        assert_eq!(nameless, "--config needs the name of a file; or leave it away");
        assert_eq!(SettingsFile::read_if_there(Path::new("/nonexistent/t.toml"), KEYS), Ok(None));
    }

    #[test]
    fn talk_data_replaces_the_parent_of_the_data_directory() {
        let variables = environment([("TALK_DATA".into(), "/srv/t".into())]);
        assert_eq!(data_directory(&variables, "client").unwrap(), Path::new("/srv/t/client"));
    }
}
