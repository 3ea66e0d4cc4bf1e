//! What we agreed on about the sources, held by a test where no lint can.

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this has a second subject in it.
const LINES_MAX: usize = 600;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources are found");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_source_file_opens_with_what_it_is_about() {
    for (path, text) in all() {
        assert!(text.starts_with("//! "), "{} has no head comment", path.display());
    }
}

#[test]
fn no_source_file_is_longer_than_one_subject() {
    for (path, text) in all() {
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines; look for the second subject in it",
            path.display()
        );
    }
}

/// The name that a type has in the API's document, if it is in it: its own, or what `schema(as = …)` says.
fn schema_names(text: &str) -> Vec<String> {
    let (mut names, mut attributes) = (Vec::new(), String::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") || line.starts_with("///") {
            attributes.push_str(line);
            continue;
        }
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let kind = words.iter().position(|word| matches!(*word, "struct" | "enum"));
        if let (Some(kind), true) = (kind, attributes.contains("ToSchema")) {
            let renamed = attributes.split("schema(as = ").nth(1);
            let renamed = renamed.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
            names.push(renamed.unwrap_or(words[kind + 1]).to_owned());
        }
        attributes.clear();
    }
    names
}

#[test]
fn no_two_types_have_one_name_in_the_apis_document() {
    let mut names: Vec<String> = all().iter().flat_map(|(_, text)| schema_names(text)).collect();
    assert!(names.len() > 50, "the types are found");
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "one would hide the other; rename them with schema(as = …): {twice:?}");
}

#[test]
fn a_subject_does_not_use_another_subjects_handlers() {
    for subject in ["agent", "artifact", "chat", "code", "job", "log", "project", "secret"] {
        for (path, text) in
            all().into_iter().filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"))
        {
            let own = path.components().any(|part| part.as_os_str() == subject || part.as_os_str() == "http");
            let uses = text.contains(&format!("crate::{subject}::api"));
            assert!(own || !uses, "{} uses {subject}::api", path.display());
        }
    }
}

#[test]
fn the_engine_knows_no_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state");
    let mut found = Vec::new();
    sources(&root, &mut found);
    for path in found.into_iter().filter(|path| {
        !path.components().any(|part| part.as_os_str() == "tests") && !path.ends_with("tests.rs")
    }) {
        let text = fs::read_to_string(&path).unwrap();
        for subject in
            ["agent", "app", "artifact", "chat", "forge", "http", "job", "log", "project", "secret", "worker"]
        {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!code.contains(&format!("use crate::{subject}")), "{} uses {subject}", path.display());
        }
    }
}
