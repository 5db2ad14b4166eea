//! Completions and man pages, made of the programs' own help.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::programs::Home;
use common::terminal::Terminal;

const PROGRAMS: [(&str, &str); 3] = [
    ("talk-client", env!("CARGO_BIN_EXE_talk-client")),
    ("talk-server", env!("CARGO_BIN_EXE_talk-server")),
    ("registry", env!("CARGO_BIN_EXE_registry")),
];

/// What a program prints.
fn printed(home: &Home, program: &str, arguments: &[&str]) -> String {
    let output = home.command(program).args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a tool is there.
fn there(tool: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).is_file())
}

/// Runs a tool on a file, which it must take without a word.
fn takes(home: &Home, tool: &str, arguments: &[&str], file: &Path) {
    let output = home.command(tool).args(arguments).arg(file).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{tool}: {output:?}");
}

/// The long options of a help.
fn options(help: &str) -> Vec<String> {
    let long = |line: &str| line.split_whitespace().find(|word| word.starts_with("--")).map(str::to_owned);
    let lines = help.lines().skip_while(|line| *line != "Options:").skip(1).take_while(|line| !line.is_empty());
    lines.filter(|line| line.starts_with("  -")).filter_map(long).collect()
}

/// The commands of a program.
fn commands(program: &str) -> &'static [&'static str] {
    match program {
        "talk-client" => &["room", "pair", "console", "listen", "write", "register", "chat"],
        "talk-server" => &["export", "import", "backup"],
        _ => &[],
    }
}

/// What stands in a script of completions for one command.
fn part(script: &str, shell: &str, command: &str) -> String {
    let begin = match shell {
        "fish" => {
            let mark = format!(" -n '__fish_seen_subcommand_from {command}' ");
            return script.lines().filter(|line| line.contains(&mark)).map(|line| format!("{line}\n")).collect();
        }
        "bash" => format!("\n    '{command}')\n"),
        _ => format!("\n    ('{command}')\n"),
    };
    script.split_once(&begin).unwrap().1.split_once("        ;;\n").unwrap().0.to_owned()
}

#[test]
fn every_shell_takes_the_completions_which_name_every_option() {
    let home = Home::new();
    for (name, program) in PROGRAMS {
        let options = options(&printed(&home, program, &["--help"]));
        assert!(options.len() > 5 && options.contains(&"--completions".to_owned()), "{options:?}");
        for shell in ["bash", "zsh", "fish"] {
            let script = printed(&home, program, &["--completions", shell]);
            let file = home.path().join(format!("{name}.{shell}"));
            std::fs::write(&file, &script).unwrap();
            takes(&home, shell, &["-n"], &file);
            for option in &options {
                let written = if shell == "fish" { format!(" -l {} ", &option[2..]) } else { option.clone() };
                assert!(script.contains(&written), "{option} is missing for {shell} in {script}");
            }
            for command in commands(name) {
                let of_it = part(&script, shell, command);
                for option in self::options(&printed(&home, program, &[command, "--help"])) {
                    let written = if shell == "fish" { format!(" -l {} ", &option[2..]) } else { option };
                    assert!(of_it.contains(&written), "{written} of {command} is missing for {shell} in {of_it}");
                }
            }
            // Quotes are closed, also where no such shell is there to say so.
            assert_eq!(script.replace("\\'", "").matches('\'').count() % 2, 0, "{script}");
        }
        let refused = home.command(program).args(["--completions", "csh"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
    }
}

#[test]
fn the_help_of_each_way_to_talk_lists_its_exit_codes() {
    let home = Home::new();
    for command in ["room", "pair", "console", "listen", "write", "register", "chat"] {
        for (lang, word) in [("en", "Exit codes:"), ("ru", "Коды завершения:")] {
            let help = printed(&home, PROGRAMS[0].1, &[command, "--lang", lang, "--help"]);
            let codes = help.split_once(word).unwrap().1;
            let listed = |code: &str| codes.split(|c: char| !c.is_ascii_digit()).any(|number| number == code);
            assert!(["0", "1", "2", "130"].iter().all(|code| listed(code)), "{command}: {codes}");
        }
    }
}

#[test]
fn bash_completes_commands_options_and_files() {
    let home = Home::new();
    for (name, program) in PROGRAMS {
        std::fs::write(home.path().join(name), printed(&home, program, &["--completions=bash"])).unwrap();
    }
    std::fs::write(home.path().join("a secret"), "").unwrap();
    for (words, wanted) in [
        ("room --theme ''", "dark light plain"),
        ("server import 'a s'", "a secret"),
        ("server import --d", "--data"),
        ("server --durability ''", "fsync os"),
        ("server --syslog-format rfc3", "rfc3164"),
        ("ro", "room"),
        ("--pub", "--public-url"),
        ("room --secret-f", "--secret-file"),
        ("room --secret-file 'a s'", "a secret"),
        ("room --nick ''", ""),
        ("--name room --onc", "--once"),
        ("pair --pa", "--path"),
        ("--protocol u", "udp"),
        ("room --lang ''", "en ru"),
        ("room --lang r", "ru"),
    ] {
        let (program, words) = words.strip_prefix("server ").map_or(("client", words), |words| ("server", words));
        let command = format!(
            "source talk-{program}; COMP_WORDS=(talk-{program} {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _talk_{program}; printf '%s' \"${{COMPREPLY[*]}}\""
        );
        let output = home.command("bash").args(["-euc", &command]).output().unwrap();
        let completed = String::from_utf8(output.stdout).unwrap();
        assert_eq!((completed.as_str(), output.stderr.as_slice()), (wanted, &b""[..]), "{words}");
    }
}

#[test]
fn fish_completes_commands_options_and_their_values() {
    let home = Home::new();
    for (name, program) in PROGRAMS {
        std::fs::write(home.path().join(name), printed(&home, program, &["--completions=fish"])).unwrap();
    }
    std::fs::write(home.path().join("rooms.jsonl"), "").unwrap();
    for (typed, wanted) in [
        ("server import roo", &["rooms.jsonl"][..]),
        ("server --durability ", &["fsync", "os"]),
        ("ro", &["room"]),
        ("--pub", &["--public-url"]),
        ("room --secret-f", &["--secret-file"]),
        ("pair --pa", &["--path"]),
        ("--protocol u", &["udp"]),
        ("room --lang ", &["en", "ru"]),
    ] {
        let (program, typed) = typed.strip_prefix("server ").map_or(("client", typed), |typed| ("server", typed));
        let command = format!("source talk-{program}; and complete -C 'talk-{program} {typed}'");
        let output = home.command("fish").args(["--no-config", "-c", &command]).output().unwrap();
        let completed = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = completed.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!((words.as_slice(), output.stderr.as_slice()), (wanted, &b""[..]), "{typed}");
    }
}

#[test]
fn zsh_completes_commands_options_and_their_values() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("functions")).unwrap();
    for (name, program) in PROGRAMS {
        let script = printed(&home, program, &["--completions=zsh"]);
        std::fs::write(home.path().join(format!("functions/_{name}")), script).unwrap();
    }
    std::fs::write(home.path().join("rooms.jsonl"), "").unwrap();
    let mut command = home.command("zsh");
    command.args(["-f", "-i"]);
    let mut zsh = Terminal::start(command);
    zsh.send("PS1='zsh'; PS1+='> '; fpath=(~/functions $fpath); autoload -U compinit; compinit -u -D\r");
    for (typed, wanted) in [
        ("client roo", "m "),
        ("server import roo", "ms.jsonl "),
        ("server export --data . --ro", "om "),
        ("client --pub", "lic-url "),
        ("client room --secret-f", "ile "),
        ("client pair --port 1 --pa", "th "),
        ("client --protocol u", "dp "),
        ("client room --lang r", "u "),
    ] {
        zsh.sees("zsh> ");
        zsh.send(&format!("talk-{typed}\t"));
        zsh.sees(wanted);
        // A line that is taken away waits its turn; Ctrl-C may come while the shell still completes, and be lost on it.
        zsh.send("\u{15}\r");
    }
    zsh.sees("zsh> ");
    zsh.send("exit\r");
    zsh.pty.exp_eof().unwrap();
}

#[test]
fn man_pages_say_what_the_help_says() {
    let home = Home::new();
    for (name, program) in PROGRAMS {
        let page = printed(&home, program, &["--man"]);
        let file = home.path().join(format!("{name}.1"));
        std::fs::write(&file, &page).unwrap();
        if there("mandoc") {
            takes(&home, "mandoc", &["-T", "lint", "-W", "error"], &file);
        }
        if there("groff") {
            let output = home.command("groff").args(["-man", "-Tascii", "-ww"]).arg(&file).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
        assert!(page.starts_with(&format!(".TH {} 1 ", name.to_uppercase())), "{page}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "NOTES"] {
            assert_eq!(page.matches(&format!("\n.SH {section}\n")).count(), 1, "{section}");
        }
        let known = [".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".br", ".nf", ".fi"];
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(known.contains(&line.split(' ').next().unwrap()), "{line}");
        }
        for option in options(&printed(&home, program, &["--help"])) {
            let written = format!("\\fB{}\\fR", option.replace('-', "\\-"));
            assert!(page.contains(&written), "{written} in {page}");
        }
    }
    for (name, program) in PROGRAMS {
        let page = printed(&home, program, &["--man"]);
        for command in commands(name) {
            let (_, section) = page.split_once(&format!("\n.SS {command}\n")).unwrap();
            let section = section.split("\n.S").next().unwrap();
            let help = printed(&home, program, &[command, "--help"]);
            assert!(help.starts_with(&format!("Usage: {name} {command} ")), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
            for option in options(&help) {
                let written = format!("\\fB{}\\fR", option.replace('-', "\\-"));
                assert!(section.contains(&written), "{written} of {command} in {section}");
            }
            // What stands behind the options, too.
            if let Some(place) = ["FILE", "DIR"].iter().find(|place| help.lines().next().unwrap().ends_with(*place)) {
                assert!(section.contains(&format!("\n.TP\n\\fI{place}\\fR\n")), "{section}");
                let usage = format!("\n.B {} {command}\n[\\fIOPTIONS\\fR] \\fI{place}\\fR\n", name.replace('-', "\\-"));
                assert!(page.contains(&usage), "{usage} in {page}");
            }
        }
    }
    for command in commands("talk-server") {
        let help = printed(&home, PROGRAMS[1].1, &[command, "--help"]);
        // A server on the backup itself would change it.
        assert!(!help.contains("talk-server --data /backup"), "{help}");
        assert!(*command != "export" || help.contains("@NAME") && help.contains("@ID: the \"user\""), "{help}");
    }
}
