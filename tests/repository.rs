//! What the repository promises about itself.
#![cfg(feature = "terminal")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_pages_that_others_look_for_are_there_and_their_links_lead_somewhere() {
    let pages = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    let manuals =
        ["clients", "embedding", "operations", "performance", "protocols"].map(|name| format!("docs/{name}.md"));
    let there = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(there.filter(|path| path.extension().is_some_and(|end| end == "md")).count(), manuals.len());
    for page in pages.iter().chain(&manuals) {
        let text = read(page);
        assert!(text.starts_with("# "), "{page} has no title");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let page_itself = root().join(page);
            let target = if file.is_empty() { page_itself } else { page_itself.parent().unwrap().join(file) };
            assert!(target.exists(), "{page} links to {link}, which is not there");
            if !place.is_empty() && link.contains(".md") | file.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap()).any(|anchor| anchor == place);
                assert!(there, "{page} links to {link}, where there is no such title");
            }
        }
    }
    assert!(read("LICENSE-MIT").contains("Talk authors"));
    assert!(read("LICENSE-APACHE").contains("END OF TERMS AND CONDITIONS"));
    assert!(read("CHANGELOG.md").contains("## [Unreleased]"));
}

#[test]
fn the_lints_that_hold_the_house_rules_are_on() {
    let manifest = manifest();
    let lints = &manifest["lints"];
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for lint in ["missing_docs", "unreachable_pub"] {
        assert_eq!(lints["rust"][lint].as_str(), Some("warn"), "{lint}");
    }
    for lint in ["await_holding_lock", "dbg_macro", "incompatible_msrv", "print_stdout", "todo", "unwrap_used"] {
        assert_eq!(lints["clippy"][lint].as_str(), Some("warn"), "{lint}");
    }
    assert!(manifest["package"]["rust-version"].is_str());
}

#[test]
fn the_program_in_the_readme_is_the_one_that_the_documentation_tests() {
    let library = read("src/lib.rs");
    let (_, program) = library.split_once("doc = \"```text\")]\n").expect("a program in the documentation");
    let (documented, _) = program.split_once("//! ```\n").expect("its end");
    let documented: Vec<&str> = documented.lines().map(|line| line[3..].trim_start_matches(' ')).collect();
    let readme = read("README.md");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    assert_eq!(shown.lines().map(str::trim_start).collect::<Vec<_>>(), documented);
}

#[test]
fn the_dependencies_that_embedding_names_are_those_of_its_programs() {
    let page = read("docs/embedding.md");
    let named: toml::Value =
        toml::from_str(page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let mut programs = 0;
    for program in page.split("```rust").skip(1).filter_map(|rest| rest.split("```").next()) {
        programs += 1;
        for line in program.lines().filter_map(|line| line.strip_prefix("use ")) {
            let name = line.split("::").next().unwrap().replace('_', "-");
            assert!(name == "std" || named["dependencies"].get(&name).is_some(), "{name} is not named");
        }
    }
    assert!(programs > 3, "only {programs} programs");
}

#[test]
fn every_bench_is_run_by_criterion() {
    let manifest = manifest();
    let listed: Vec<_> = manifest.get("bench").and_then(|b| b.as_array()).into_iter().flatten().collect();
    for path in files("benches") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let entry = listed.iter().find(|bench| bench["name"].as_str() == Some(name));
        let entry = entry.unwrap_or_else(|| panic!("benches/{name}.rs is not listed in Cargo.toml"));
        assert_eq!(entry["harness"].as_bool(), Some(false), "benches/{name}.rs");
    }
}

#[test]
fn every_fuzz_target_is_listed_and_has_seeds() {
    let manifest: toml::Value = toml::from_str(&read("fuzz/Cargo.toml")).unwrap();
    let listed: Vec<_> = manifest["bin"].as_array().unwrap().iter().filter_map(|bin| bin["name"].as_str()).collect();
    let targets = files("fuzz/fuzz_targets");
    assert_eq!(targets.len(), listed.len());
    for path in targets {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(listed.contains(&name), "{name} is not listed in fuzz/Cargo.toml");
        let seeds = fs::read_dir(root().join("fuzz/seeds").join(name)).unwrap().count();
        assert!(seeds > 0, "{name} has no seeds");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // In two halves, so that this file does not find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("], ["#[ign", "ore"]].map(|m| m.concat());
    let mut seen = 0;
    for folder in ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"] {
        for path in files(folder) {
            let text = fs::read_to_string(&path).unwrap();
            for (i, line) in text.lines().enumerate() {
                let mark = marks.iter().find(|mark| line.contains(mark.as_str()));
                assert!(mark.is_none(), "{}:{}: {}", path.display(), i + 1, line.trim());
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} files were seen");
}

#[test]
fn every_shared_helper_of_the_tests_is_used() {
    let tests: Vec<String> = files("tests").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for path in files("tests/common") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name != "mod" {
            let used =
                tests.iter().any(|text| text.contains(&format!("{name}::")) || text.contains(&format!("{name}.rs")));
            assert!(used, "nothing uses tests/common/{name}.rs");
        }
    }
}

/// What links to the titles of a page end with.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let mut code = false;
    let titles = page.lines().filter(move |line| {
        code ^= line.starts_with("```");
        !code && line.starts_with('#')
    });
    titles.map(|title| {
        let kept = title.trim_start_matches('#').trim().chars();
        let kept = kept.filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}

fn manifest() -> toml::Value {
    toml::from_str(&read("Cargo.toml")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below a folder; none when there is no such folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}
