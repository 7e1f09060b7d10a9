//! The documents: which there are, and where their links lead.

use std::collections::BTreeSet;
use std::path::Path;

/// What was built or fetched, or belongs to git.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];

/// All Markdown files below a directory, by their paths from there.
pub fn documents(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !NOT_OURS.iter().any(|ours| name == *ours) {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    let mut is_fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced && !line.starts_with("    ") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The anchors of a document's headings, as GitHub makes them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        assert!(anchors.insert(anchor), "the heading {heading:?} stands there twice");
    }
    anchors
}

/// Where a document's links lead, those of other sites left out.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let spans: Vec<&str> = text.split('`').collect();
    assert!(spans.len() % 2 == 1, "a span of code that does not end");
    let text: String = spans.into_iter().step_by(2).collect();
    let targets = text.split("](").skip(1);
    targets
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .filter(|target| !target.starts_with("https://"))
        .collect()
}

/// That every link of every document below a directory leads to a file there, and to a heading where it names one. Returns how many.
pub fn assert_links_lead_somewhere(root: &Path) -> usize {
    let mut looked_at = 0;
    for document in documents(root) {
        let path = root.join(&document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{document} links to {link}: no such file");
            if !anchor.is_empty() {
                let known = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(
                    known.contains(anchor),
                    "{document} links to {link}: no such heading of {known:?}"
                );
            }
            looked_at += 1;
        }
    }
    looked_at
}
