//! Documents: one title each, links that lead somewhere, and every outside crate explained.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use folkmoot_tidy::{files, root};

#[test]
fn every_document_has_one_title() {
    for document in files(&[".md"]) {
        let mut in_code = false;
        let mut titles = 0;
        for line in document.text.lines() {
            in_code ^= line.trim_start().starts_with("```");
            titles += usize::from(!in_code && line.starts_with("# "));
        }
        assert_eq!(titles, 1, "{} has {titles} titles", document.path);
    }
}

#[test]
fn links_between_files_lead_somewhere() {
    let mut broken = Vec::new();
    for document in files(&[".md"]) {
        let folder = Path::new(&document.path).parent().unwrap().to_path_buf();
        for link in document.text.split("](").skip(1) {
            let target = link.split(')').next().unwrap().split('#').next().unwrap();
            let local = !target.is_empty() && !target.contains("://") && !target.contains(' ');
            if local && !root().join(&folder).join(target).exists() {
                broken.push(format!("{}: {target}", document.path));
            }
        }
    }
    assert!(broken.is_empty(), "links to nothing:\n{}", broken.join("\n"));
}

#[test]
fn every_outside_crate_is_explained() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let explained = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let missing: Vec<_> = names.filter(|name| !name.starts_with("folkmoot") && !explained.contains(name)).collect();
    assert!(missing.is_empty(), "docs/dependencies.md does not explain {missing:?}");
}
