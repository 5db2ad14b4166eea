//! What is made of a program's own help: completions for shells, and a man page.

use std::collections::BTreeSet;
use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

/// A shell for which there are completions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }
}

/// The completions of a program, as a script of that shell.
pub(super) fn completions(shell: Shell, program: &str, info: &CommandInfoWithArgs) -> String {
    match shell {
        Shell::Bash => bash(program, info),
        Shell::Zsh => zsh(program, info),
        Shell::Fish => fish(program, info),
    }
}

/// The man page of a program, for section 1.
pub(super) fn man(program: &str, version: &str, info: &CommandInfoWithArgs) -> String {
    let mut page = format!(
        ".TH {} 1 \"\" \"{} {}\" \"\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        program.to_uppercase(),
        roff(program),
        roff(version),
        roff(program),
        roff(&sentence(info.description)),
    );
    let _ = writeln!(page, ".B {}\n[\\fIOPTIONS\\fR]", roff(program));
    for command in &info.commands {
        let _ = write!(page, ".br\n.B {} {}\n[\\fIOPTIONS\\fR]", roff(program), roff(command.name));
        for place in command.command.positionals {
            let _ = write!(page, " \\fI{}\\fR", roff(&place.name.to_uppercase()));
        }
        page.push('\n');
    }
    let _ = writeln!(page, ".SH DESCRIPTION\n{}", roff(info.description));
    page.push_str(".SH OPTIONS\n");
    options_in_roff(&mut page, info);
    if !info.commands.is_empty() {
        page.push_str(".SH COMMANDS\n");
        for command in &info.commands {
            let _ = writeln!(page, ".SS {}\n{}", roff(command.name), roff(command.command.description));
            options_in_roff(&mut page, &command.command);
            rest_in_roff(&mut page, &command.command, ".PP\n");
        }
    }
    rest_in_roff(&mut page, info, ".SH NOTES\n");
    page
}

/// The options, and what stands behind them.
fn options_in_roff(page: &mut String, info: &CommandInfoWithArgs) {
    for place in info.positionals {
        let _ = writeln!(page, ".TP\n\\fI{}\\fR\n{}", roff(&place.name.to_uppercase()), roff(place.description));
    }
    for option in options(info) {
        let short = option.short.map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
        let value = option.value.map(|value| format!(" \\fI{}\\fR", roff(&value.to_uppercase()))).unwrap_or_default();
        let _ = writeln!(page, ".TP\n{short}\\fB{}\\fR{value}\n{}", roff(option.long), roff(option.description));
    }
}

fn rest_in_roff(page: &mut String, info: &CommandInfoWithArgs, notes: &str) {
    if !info.notes.is_empty() {
        page.push_str(notes);
        let all: Vec<_> = info.notes.iter().map(|note| roff(note)).collect();
        let _ = writeln!(page, "{}", all.join("\n.PP\n"));
    }
    if !info.examples.is_empty() {
        page.push_str(if notes.starts_with(".SH") { ".SH EXAMPLES\n" } else { ".PP\nExamples:\n.PP\n" });
        for example in info.examples {
            let _ = writeln!(page, ".nf\n{}\n.fi", roff(&example.replace("{command_name}", "")));
        }
    }
}

/// Text that roff takes for nothing but text. An empty line begins a paragraph.
fn roff(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.lines().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        if line.is_empty() {
            out.push_str(".PP");
            continue;
        }
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                c => out.push(c),
            }
        }
    }
    out
}

/// An option as it is shown.
pub(super) struct Shown<'a> {
    pub(super) short: Option<char>,
    pub(super) long: &'a str,
    /// What its value is called.
    pub(super) value: Option<&'a str>,
    pub(super) description: &'a str,
}

/// The options that are shown, with `--help` as the last.
pub(super) fn shown<'a>(flags: &'a [FlagInfo<'a>]) -> impl Iterator<Item = Shown<'a>> {
    // `argh` puts its own help first, and without its letter.
    let own = flags.iter().filter(|flag| !flag.hidden && flag.long != "--help").map(|flag| {
        let value = match &flag.kind {
            FlagInfoKind::Option { arg_name } => Some(*arg_name),
            FlagInfoKind::Switch => None,
        };
        Shown { short: flag.short, long: flag.long, value, description: flag.description }
    });
    own.chain([Shown { short: Some('h'), long: "--help", value: None, description: "print this" }])
}

fn options(info: &CommandInfoWithArgs) -> impl Iterator<Item = Shown<'_>> {
    shown(info.flags)
}

impl Shown<'_> {
    /// What is typed, as the help shows it.
    pub(super) fn left(&self) -> String {
        let short = self.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = self.value.map(|value| format!(" {}", value.to_uppercase())).unwrap_or_default();
        format!("  {short}{}{value}", self.long)
    }

    fn takes_a_file(&self) -> bool {
        self.value.is_some_and(is_file)
    }

    /// All values that there are, where they are few.
    fn choices(&self) -> Option<&'static str> {
        match self.value? {
            "form" => Some("rfc5424 rfc3164"),
            "language" => Some("en ru"),
            "protocol" => Some("http udp websocket"),
            "shell" => Some("bash zsh fish"),
            "theme" => Some("dark light plain"),
            "when" => Some("fsync os"),
            _ => None,
        }
    }
}

/// Whether what is called so is a file's name.
fn is_file(value: &str) -> bool {
    matches!(value, "file" | "dir")
}

/// Whether a file's name stands behind the options.
fn ends_with_a_file(info: &CommandInfoWithArgs) -> bool {
    info.positionals.iter().any(|place| is_file(place.name))
}

/// A description as one line, without the dot at its end.
fn sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

/// Each command with its name; the program itself has none.
fn all(info: &CommandInfoWithArgs) -> Vec<(&str, &CommandInfoWithArgs)> {
    let commands = info.commands.iter().map(|command| (command.name, &command.command));
    [("", info)].into_iter().chain(commands).collect()
}

fn bash(program: &str, info: &CommandInfoWithArgs) -> String {
    let names: Vec<_> = info.commands.iter().map(|command| command.name).collect();
    let function = program.replace('-', "_");
    let mut script = format!(
        "# Completions of {program} for bash.\n_{function}() {{\n    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         local command='' words='' files='' values='' rest='' word\n    COMPREPLY=()\n"
    );
    if !names.is_empty() {
        let _ = writeln!(
            script,
            "    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        case $word in\n        {}) command=$word; break ;;\n        esac\n    done",
            names.join(" | ")
        );
    }
    script.push_str("    case $command in\n");
    let mut choices = BTreeSet::new();
    for (name, command) in all(info) {
        let (mut words, mut files, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for option in options(command) {
            let spellings = option.short.map(|short| format!("-{short}")).into_iter().chain([option.long.to_owned()]);
            let with_value = if option.takes_a_file() { &mut files } else { &mut values };
            if option.value.is_some() {
                with_value.extend(spellings);
            }
            if let Some(values) = option.choices() {
                choices.insert(format!(
                    "    {}) mapfile -t COMPREPLY < <(compgen -W '{values}' -- \"$current\"); return ;;\n",
                    option.long
                ));
            }
            words.push(option.long);
        }
        if name.is_empty() {
            words.extend(&names);
        }
        let _ = writeln!(
            script,
            "    '{name}')\n        words='{}'\n        files=' {} '\n        values=' {} '\n        rest='{}'\n        ;;",
            words.join(" "),
            files.join(" "),
            values.join(" "),
            if ends_with_a_file(command) { "files" } else { "" },
        );
    }
    let _ = write!(
        script,
        "    esac\n    case $files in\n    *\" $before \"*)\n        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n        return\n        ;;\n    esac\n    \
         case $before in\n{}    esac\n    case $values in\n    *\" $before \"*) return ;;\n    esac\n    \
         if [[ $rest && $current != -* ]]; then\n        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n        return\n    fi\n    \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n}}\n\
         complete -o filenames -F _{function} {program}\n",
        choices.into_iter().collect::<String>(),
    );
    script
}

fn zsh(program: &str, info: &CommandInfoWithArgs) -> String {
    let function = program.replace('-', "_");
    let mut script = format!("#compdef {program}\n# Completions of {program} for zsh.\n_{function}() {{\n");
    if !info.commands.is_empty() {
        script.push_str("    local -a commands=(\n");
        for command in &info.commands {
            let _ = writeln!(script, "        '{}:{}'", command.name, quoted(&sentence(command.command.description)));
        }
        script.push_str(
            "    )\n    local word command=''\n    for word in ${words[2,CURRENT-1]}; do\n        case $word in\n",
        );
        let names: Vec<_> = info.commands.iter().map(|command| command.name).collect();
        let _ = writeln!(script, "        ({}) command=$word; break ;;\n        esac\n    done", names.join("|"));
        script.push_str("    case $command in\n");
        for (name, command) in all(info) {
            let _ = writeln!(script, "    ('{name}')");
            if name.is_empty() {
                script.push_str("        [[ $PREFIX == -* ]] || _describe command commands\n");
            }
            // The command stands there; its options follow, and nothing else does but a file.
            let rest = match (name, ends_with_a_file(command)) {
                ("", _) => "",
                (_, true) => "'1: : ' '2:file:_files' ",
                (_, false) => "'1: : ' ",
            };
            arguments(&mut script, command, "        ", rest);
            script.push_str("        ;;\n");
        }
        script.push_str("    esac\n");
    } else {
        arguments(&mut script, info, "    ", "");
    }
    let _ = write!(script, "}}\n_{function} \"$@\"\n");
    script
}

/// A call of zsh's `_arguments`.
fn arguments(script: &mut String, info: &CommandInfoWithArgs, indent: &str, rest: &str) {
    let _ = write!(script, "{indent}_arguments -s {rest}");
    for option in options(info) {
        let value = match option.value {
            Some(value) if option.takes_a_file() => format!(":{value}:_files"),
            Some(value) => {
                let choices = option.choices().map_or(" ".to_owned(), |values| format!("({values})"));
                format!(":{}:{choices}", quoted(value).replace(':', "\\:"))
            }
            None => String::new(),
        };
        let what = quoted(&sentence(option.description)).replace('[', "\\[").replace(']', "\\]");
        for spelling in option.short.map(|short| format!("-{short}")).into_iter().chain([option.long.to_owned()]) {
            // Options may be given again where that is allowed; the program says where not.
            let _ = write!(script, "\\\n{indent}    '*{spelling}[{what}]{value}' ");
        }
    }
    script.push('\n');
}

fn fish(program: &str, info: &CommandInfoWithArgs) -> String {
    let mut script = format!("# Completions of {program} for fish.\ncomplete -c {program} -f\n");
    let names: Vec<_> = info.commands.iter().map(|command| command.name).collect();
    for command in &info.commands {
        let what = fish_quoted(&sentence(command.command.description));
        let _ = writeln!(
            script,
            "complete -c {program} -n 'not __fish_seen_subcommand_from {}' -a {} -d '{what}'",
            names.join(" "),
            command.name
        );
    }
    for (name, command) in all(info) {
        let when = match (name, names.is_empty()) {
            (_, true) => String::new(),
            ("", false) => format!(" -n 'not __fish_seen_subcommand_from {}'", names.join(" ")),
            (name, false) => format!(" -n '__fish_seen_subcommand_from {name}'"),
        };
        if ends_with_a_file(command) {
            let _ = writeln!(script, "complete -c {program}{when} -F");
        }
        for option in options(command) {
            let short = option.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let value = match option.value {
                Some(_) if option.takes_a_file() => " -r -F".to_owned(),
                Some(_) => option.choices().map_or(" -x".to_owned(), |values| format!(" -x -a '{values}'")),
                None => String::new(),
            };
            let long = option.long.trim_start_matches('-');
            let what = fish_quoted(&sentence(option.description));
            let _ = writeln!(script, "complete -c {program}{when}{short} -l {long}{value} -d '{what}'");
        }
    }
    script
}

/// Text between single quotes of a POSIX shell.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// Text between single quotes of fish.
fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_takes_text_for_nothing_else() {
        assert_eq!(roff(".TH x\n'so /etc/passwd\n\na\\b --c"), "\\&.TH x\n\\&'so /etc/passwd\n.PP\na\\eb \\-\\-c");
    }

    #[test]
    fn quotes_stay_quotes() {
        assert_eq!((quoted("it's"), fish_quoted("it's \\")), ("it'\\''s".into(), "it\\'s \\\\".into()));
        assert_eq!(sentence("Takes\n  part. "), "Takes part");
        assert_eq!((Shell::named("fish"), Shell::named("csh")), (Some(Shell::Fish), None));
    }
}
