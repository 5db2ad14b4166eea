//! Completions and man pages, made of the programs' own help.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::programs::Home;

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
            if there(shell) {
                takes(&home, shell, &["-n"], &file);
            }
            for option in &options {
                let written = if shell == "fish" { format!(" -l {} ", &option[2..]) } else { option.clone() };
                assert!(script.contains(&written), "{option} is missing for {shell} in {script}");
            }
            // Quotes are closed, also where no such shell is there to say so.
            assert_eq!(script.replace("\\'", "").matches('\'').count() % 2, 0, "{script}");
        }
        let refused = home.command(program).args(["--completions", "csh"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
    }
}

#[test]
fn bash_completes_commands_options_and_files() {
    let home = Home::new();
    let script = printed(&home, PROGRAMS[0].1, &["--completions=bash"]);
    std::fs::write(home.path().join("complete"), script).unwrap();
    std::fs::write(home.path().join("a secret"), "").unwrap();
    for (words, wanted) in [
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
        let command = format!(
            "source complete; COMP_WORDS=(talk-client {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _talk_client; printf '%s' \"${{COMPREPLY[*]}}\""
        );
        let output = home.command("bash").args(["-euc", &command]).output().unwrap();
        let completed = String::from_utf8(output.stdout).unwrap();
        assert_eq!((completed.as_str(), output.stderr.as_slice()), (wanted, &b""[..]), "{words}");
    }
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
    let page = printed(&home, PROGRAMS[0].1, &["--man"]);
    for command in ["room", "pair", "console", "listen", "write", "register", "chat"] {
        assert!(page.contains(&format!("\n.SS {command}\n")), "{command}");
        let help = printed(&home, PROGRAMS[0].1, &[command, "--help"]);
        assert!(help.starts_with(&format!("Usage: talk-client {command} ")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
