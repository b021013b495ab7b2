//! The crate table of `ARCHITECTURE.md` against the manifests: who depends on whom, and on what from outside.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use folkmoot_tidy::{root, table};
use serde_json::Value;

/// A crate's own crates and outside crates.
type Arrows = BTreeMap<String, [BTreeSet<String>; 2]>;

#[test]
fn manifests_are_as_the_crate_table_says() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let documented = documented(&document);
    let actual = actual();
    let crates = |arrows: &Arrows| arrows.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(crates(&documented), crates(&actual), "crates in the table and in the workspace");
    let mut violations = Vec::new();
    for (name, arrows) in &actual {
        for (what, (used, listed)) in ["", "outside crate "].iter().zip(arrows.iter().zip(&documented[name])) {
            let forbidden = used.difference(listed).map(|other| format!("`{name}` may not depend on {what}`{other}`"));
            let unused = listed.difference(used).map(|other| format!("`{name}` does not depend on {what}`{other}`"));
            violations.extend(forbidden.chain(unused));
        }
    }
    assert!(violations.is_empty(), "manifests and ARCHITECTURE.md differ:\n{}", violations.join("\n"));
}

#[test]
fn engines_depend_on_no_runtime() {
    for (name, [_, outside]) in actual() {
        let engine = folkmoot_tidy::ENGINES.contains(&name.as_str());
        assert!(!engine || !outside.contains("tokio"), "`{name}` is an engine and depends on tokio");
    }
}

#[test]
fn every_version_stands_in_the_root_manifest_only() {
    for (name, _) in actual() {
        let manifest = fs::read_to_string(root().join(&name).join("Cargo.toml")).unwrap();
        let versioned: Vec<_> = manifest
            .lines()
            .skip_while(|line| !line.contains("dependencies]"))
            .filter(|line| line.contains(" = ") && !line.contains("workspace") && !line.starts_with("harness"))
            .filter(|line| {
                line.contains("version")
                    || line
                        .split(" = ")
                        .nth(1)
                        .is_some_and(|value| value.starts_with("\"0") || value.starts_with("\"1"))
            })
            .collect();
        assert!(versioned.is_empty(), "{name}/Cargo.toml states versions: {versioned:?}");
    }
}

fn documented(document: &str) -> Arrows {
    let words =
        |cell: &String| cell.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
    table(document, "crate").iter().map(|row| (row[0].clone(), [words(&row[2]), words(&row[3])])).collect()
}

/// What the manifests say, without dependencies of tests.
fn actual() -> Arrows {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let directory = |package: &Value| {
        let manifest = package["manifest_path"].as_str().unwrap();
        Path::new(manifest).parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
    };
    let directories: BTreeMap<&str, String> =
        packages.iter().map(|package| (package["name"].as_str().unwrap(), directory(package))).collect();
    let mut arrows = Arrows::new();
    for package in packages {
        let used = arrows.entry(directory(package)).or_default();
        let dependencies = package["dependencies"].as_array().unwrap();
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"] != "dev") {
            let name = dependency["name"].as_str().unwrap();
            match directories.get(name) {
                Some(own) => used[0].insert(own.clone()),
                None => used[1].insert(name.to_owned()),
            };
        }
    }
    arrows
}
