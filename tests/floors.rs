//! The floors of the crate: a module names only modules on lower floors, or in its own subtree. ARCHITECTURE.md says
//! why. This test reads `src/` itself, so a new module needs its line in [`FLOORS`] and nothing else.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every top-level module and its floor. `error` is named only from the top; `limits` from every floor.
const FLOORS: &[(&str, u8)] = &[
    ("address", 0),
    ("files", 0),
    ("measure", 0),
    ("name", 0),
    ("secret", 0),
    ("text", 0),
    ("tape", 0),
    ("limits", 1),
    ("message", 1),
    ("broker", 2),
    ("codec", 2),
    ("net", 2),
    ("store", 2),
    ("hub", 3),
    ("transport", 3),
    ("bot", 4),
    ("gateway", 4),
    ("registry", 4),
    ("client", 5),
    ("peer", 5),
    ("server", 6),
    ("terminal", 6),
    ("testing", 6),
];

/// The one look between neighbours, from the first to the second: which characters are invisible is asked in `text`.
const NEIGHBOURS: &[(&str, &str)] = &[("name", "text")];

/// Where `error`, the umbrella over every floor's error, may be named.
const ABOVE_ERROR: &[&str] = &["lib", "server", "peer", "bin"];

/// Lines that a file may have, its tests included.
const MOST_LINES: usize = 800;

/// Sequences of tokens that the library does without, why, and the modules that may hold them all the same.
const BANNED: &[(&[&str], &str, &[&str])] = &[
    (&["unbounded_channel"], "every channel is bounded", &[]),
    (&["broadcast", ":", ":", "channel"], "a slow reader of a broadcast loses messages in silence", &[]),
    (&["println", "!"], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["eprintln", "!"], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["print", "!"], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["eprint", "!"], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["dbg", "!"], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["stdout", "("], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["stderr", "("], "only the binaries and the terminal print", &["bin", "terminal"]),
    (&["process", ":", ":", "exit"], "a library does not end the program", &["bin", "terminal"]),
    (&["env", ":", ":", "args"], "a library does not read the command line", &["bin", "terminal"]),
    (&["env", ":", ":", "var"], "a library does not read the environment", &["bin", "terminal"]),
    (&["tokio", ":", ":", "signal"], "a library does not handle signals", &["bin", "terminal"]),
    (&["static", "mut"], "no globals", &[]),
];

#[test]
fn every_module_names_only_lower_floors_or_its_own_subtree() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let checked = check(&path, &text);
        seen += checked.names;
        wrong.extend(checked.wrong);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} paths between modules were seen: the reading is broken");
}

#[test]
fn every_top_level_module_has_a_floor() {
    let mut modules = 0;
    for (path, _) in sources() {
        let top = top_of(&path);
        assert!(matches!(top, "lib" | "bin" | "error") || floor(top).is_some(), "{path}: '{top}' has no floor");
        modules += 1;
    }
    assert!(modules > 10, "only {modules} files were seen");
}

#[test]
fn a_path_to_the_same_or_a_higher_floor_is_found() {
    for (path, text) in [
        ("store/mod.rs", "use crate::codec::json;"),
        ("name.rs", "use crate::message::Message;"),
        ("name.rs", "use crate::{text, limits, message::Message};"),
        ("name.rs", "use crate::{text::{clean, one_line}, store};"),
        ("name.rs", "fn f() { let _ = crate :: store :: MemoryRegistry::default(); }"),
        ("name.rs", "use super::store;"),
        ("codec/talk.rs", "use super::super::transport::Transport;"),
        ("codec/talk.rs", "use super::super::{text, net};"),
        ("codec/talk.rs", "mod tests { use super::super::super::hub; }"),
        ("codec/registry/users.rs", "use super::super::super::peer::Peer;"),
        ("transport/mod.rs", "use crate::hub::Hub;"),
        ("store/mod.rs", "use crate::error::Error;"),
        ("codec/json.rs", "macro_rules! m { () => { $crate::net::accept } }"),
        ("peer/mod.rs", "use crate::Peer;"),
        ("peer/mod.rs", "use crate::*;"),
        ("bin/registry.rs", "use talk::MemoryRegistry;"),
    ] {
        assert_eq!(check(path, text).wrong.len(), 1, "{path}: {text}");
    }
}

#[test]
fn a_path_to_a_lower_floor_or_into_the_own_subtree_is_fine() {
    for (path, text, names) in [
        ("store/mod.rs", "use crate::{address::{Address, Entry}, limits, message::Timestamp};", 3),
        ("name.rs", "use crate::limits::JSON_DEPTH;", 1),
        ("codec/talk.rs", "use crate::codec::json; use super::super::name::UserName;", 2),
        ("codec/talk.rs", "use super::CodecError; mod tests { use super::*; use super::super::json; }", 0),
        ("message.rs", "mod inner { use super::super::text; fn f() { } } use super::name;", 2),
        ("peer/mod.rs", "use crate::error::Error; pub(in crate::peer) fn f() {} pub(super) mod own {}", 2),
        ("lib.rs", "pub use crate::peer::Peer;", 1),
        ("bin/registry.rs", "use talk::registry::Registry; fn main() { println!() }", 1),
    ] {
        let checked = check(path, text);
        assert!(checked.wrong.is_empty(), "{path}: {text}: {:?}", checked.wrong);
        assert_eq!(checked.names, names, "{path}: {text}");
    }
}

#[test]
fn comments_and_literals_are_not_read() {
    let text = r###"
        //! See [`crate::store`].
        /* crate::hub /* println!() */ crate::peer */
        const A: &str = "crate::store \" println!()";
        const B: &str = r#"crate::store " "crate::net"#;
        fn c<'a>(_: &'a str) -> [char; 3] { ['"', '\'', '\u{41}'] }
        const D: &[u8] = b"crate::hub";
    "###;
    let checked = check("name.rs", text);
    assert!(checked.wrong.is_empty(), "{:?}", checked.wrong);
    assert_eq!(checked.names, 0);
    assert_eq!(check("name.rs", &format!("{text} use crate::hub::Hub;")).wrong.len(), 1);
}

#[test]
fn unbounded_queues_prints_and_long_files_are_found() {
    for (path, text) in [
        ("peer/mod.rs", "let (a, b) = mpsc::unbounded_channel();"),
        ("hub/room.rs", "let (a, b) = tokio::sync::broadcast::channel(16);"),
        ("net/http.rs", "fn f() { println!(\"{}\", 1); }"),
        ("net/http.rs", "use std::io::stdout; fn f() { stdout().lock(); }"),
        ("peer/mod.rs", "std::process::exit(1)"),
        ("peer/mod.rs", "std::env::var(\"HOME\")"),
    ] {
        assert_eq!(check(path, text).wrong.len(), 1, "{path}: {text}");
    }
    assert_eq!(check("text.rs", &"\n".repeat(MOST_LINES)).wrong.len(), 0);
    assert_eq!(check("text.rs", &"\n".repeat(MOST_LINES + 1)).wrong.len(), 1);
    assert_eq!(check("terminal/mod.rs", "println!(); std::env::args()").wrong.len(), 0);
}

/// What reading one file found.
#[derive(Default)]
struct Checked {
    /// Paths from one module to another.
    names: usize,
    wrong: Vec<String>,
}

/// Checks one file, given its path below `src/` with forward slashes.
fn check(path: &str, text: &str) -> Checked {
    let top = top_of(path);
    let tokens = tokens(text);
    let mut checked = Checked::default();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        checked.wrong.push(format!("src/{path}: {lines} lines, more than {MOST_LINES}: split it"));
    }
    for (sequence, why, except) in BANNED {
        let found =
            tokens.windows(sequence.len()).any(|w| w.iter().map(|t| t.text.as_str()).eq(sequence.iter().copied()));
        if found && !except.contains(&top) {
            checked.wrong.push(format!("src/{path}: '{}': {why}", sequence.concat()));
        }
    }
    for (line, name) in names(path, &tokens) {
        checked.names += 1;
        if let Some(why) = refusal(top, &name) {
            checked.wrong.push(format!("src/{path}:{line}: names '{name}': {why}"));
        }
    }
    checked
}

/// Why the module `from` may not name the top-level module `to`, or `None` if it may.
fn refusal(from: &str, to: &str) -> Option<String> {
    if from == to || from == "lib" || to == "limits" || NEIGHBOURS.contains(&(from, to)) {
        return None;
    }
    if to == "error" {
        return (!ABOVE_ERROR.contains(&from)).then(|| "only lib, server, peer and the binaries see it".into());
    }
    let Some(to) = floor(to) else {
        return Some("this is no module: root re-exports are for other crates".into());
    };
    // The binaries stand on top; the umbrella over the errors sees what it covers.
    let from = floor(from).unwrap_or(u8::MAX);
    (from <= to).then(|| format!("floor {from} may not see floor {to}"))
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The top-level module that a file belongs to: `codec/json.rs` to `codec`.
fn top_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The top-level modules that a file names, each with its line: what follows `crate::`, or `super::` so often that it
/// leaves the file's own top-level module; in a binary what follows `talk::`.
fn names(path: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let file_depth = path.split('/').filter(|part| *part != "mod.rs" && *part != "lib.rs").count();
    // One entry for each open brace: whether it belongs to an inline module.
    let mut braces: Vec<bool> = Vec::new();
    let mut found = Vec::new();
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
    let colons = |i: usize| text(i) == ":" && text(i + 1) == ":";
    let mut i = 0;
    while i < tokens.len() {
        match text(i) {
            "{" => braces.push(i >= 2 && text(i - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if colons(i + 1) && !top_of(path).eq("bin") => group(tokens, i + 3, &mut found),
            "talk" if colons(i + 1) && (i < 2 || !colons(i - 2)) && top_of(path) == "bin" => {
                group(tokens, i + 3, &mut found)
            }
            "super" if colons(i + 1) => {
                let mut depth = file_depth + braces.iter().filter(|inline| **inline).count();
                while text(i) == "super" && colons(i + 1) {
                    depth = depth.saturating_sub(1);
                    i += 3;
                }
                if depth == 0 && top_of(path) != "bin" {
                    group(tokens, i, &mut found);
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The first segments of the path or the group of paths that starts at `i`.
fn group(tokens: &[Token], i: usize, found: &mut Vec<(usize, String)>) {
    let Some(first) = tokens.get(i) else { return };
    if first.text != "{" {
        found.push((first.line, first.text.clone()));
        return;
    }
    let mut depth = 1;
    let mut starts = true;
    for token in &tokens[i + 1..] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," if depth == 1 => starts = true,
            name if starts => {
                found.push((token.line, name.to_owned()));
                starts = false;
            }
            _ => {}
        }
    }
}

/// An identifier, or one character of anything else.
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a Rust file, without its comments, literals and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match (at(i), at(i + 1)) {
            ('/', '/') => i = find(&chars, i, "\n"),
            ('/', '*') => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            ('\'', '\\') => i = find(&chars, i + 3, "'") + 1,
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            ('\'', _) => i += 1,
            (c, _) if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                    let end = format!("\"{}", "#".repeat(hashes));
                    i = find(&chars, i + hashes + 1, &end) + end.len();
                } else {
                    tokens.push(Token { text: word, line });
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
                i += 1;
            }
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Where `what` stands next, or the end.
fn find(chars: &[char], from: usize, what: &str) -> usize {
    let what: Vec<char> = what.chars().collect();
    (from..chars.len()).find(|i| chars[*i..].starts_with(&what)).unwrap_or(chars.len())
}

/// Every Rust file below `src/` with its path there.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below: Vec<_> = path.strip_prefix(&root).unwrap().iter().map(|p| p.to_str().unwrap()).collect();
                files.push((below.join("/"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
