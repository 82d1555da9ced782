//! The catalogue of invariants, `docs/invariants.md`, against the code that names them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The module that keeps it, by id.
fn catalogue() -> io::Result<BTreeMap<String, String>> {
    let page = fs::read_to_string(root().join("docs/invariants.md"))?;
    let mut kept = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let mut quoted = line.split('`').skip(1).step_by(2);
        if let (Some(id), Some(module)) = (quoted.next(), quoted.last()) {
            kept.insert(id.to_owned(), module.to_owned());
        }
    }
    Ok(kept)
}

fn rust(folder: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(path)?));
            }
        }
    }
    Ok(found)
}

/// `WORDS-LIKE-THESE` between two quotes.
fn ids(text: &str, quote: char) -> BTreeSet<String> {
    let is_id = |word: &&str| {
        let is_letter = |letter: char| letter.is_ascii_uppercase() || letter == '-';
        word.contains('-') && word.chars().all(is_letter) && !word.starts_with('-')
    };
    text.split(quote).skip(1).step_by(2).filter(is_id).map(str::to_owned).collect()
}

#[test]
fn each_module_names_the_invariants_it_keeps() -> io::Result<()> {
    let catalogue = catalogue()?;
    assert!(catalogue.len() > 30);
    for (id, module) in &catalogue {
        let text = fs::read_to_string(root().join(module))?;
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(ids(&head, '`').contains(id), "{module} does not name {id} at its top");
    }
    for folder in ["src", "state/src", "topologies/src"] {
        for (path, text) in rust(folder)? {
            let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
            for id in ids(&head, '`') {
                assert!(catalogue.contains_key(&id), "{}: {id} is not listed", path.display());
            }
        }
    }
    Ok(())
}

#[test]
fn the_simulator_names_violations_as_the_catalogue_does() -> io::Result<()> {
    let catalogue = catalogue()?;
    let mut named = BTreeSet::new();
    for (path, text) in rust("tests/simulation")? {
        if path.ends_with("catalogue.rs") {
            continue;
        }
        for violation in text.split("Violation::of(").skip(1) {
            let Some(id) = violation.split('"').nth(1) else { continue };
            if violation.trim_start().starts_with('"') && id != "SIMULATOR" {
                assert!(catalogue.contains_key(id), "{}: {id} is not listed", path.display());
                named.insert(id.to_owned());
            }
        }
    }
    assert!(named.len() > 10, "{named:?}");
    Ok(())
}
