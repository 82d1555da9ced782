//! Rules of the house that the compiler and clippy do not know.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 600;
const WIDTH_MAX: usize = 100;
/// Of a line with a text literal, which rustfmt leaves in one piece. JSON in one has no limit.
const WIDTH_MAX_WITH_TEXT: usize = 110;
const FUNCTION_LINES_MAX: usize = 70;

struct File {
    /// From the root of the repository.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` whose names end with one of `endings`.
fn files(folders: &[&str], endings: &[&str]) -> io::Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(root()).unwrap_or(&path);
                let relative = relative.to_string_lossy().into_owned();
                found.push(File { path: relative, text: fs::read_to_string(&path)? });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

fn rust() -> io::Result<Vec<File>> {
    files(&["src", "state", "topologies", "tests", "benches"], &[".rs"])
}

/// What ships: no test module, which by custom ends a file, no file of tests.
fn shipped(file: &File) -> &str {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let test = ["test.rs", "tests.rs", "testing.rs"].contains(&name) || name.ends_with("_test.rs");
    if test || file.path.contains("/tests/") || file.path.starts_with("tests/") {
        return "";
    }
    let end = file.text.find("#[cfg(test)]\nmod tests {").unwrap_or(file.text.len());
    file.text.get(..end).unwrap_or_default()
}

fn passes(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

/// Where each of `words` stands in the code of `files`, comments left out.
fn mentions(files: &[File], words: &[&str], why: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    for file in files {
        for (number, line) in shipped(file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words.iter().filter(|word| code.contains(**word)) {
                mistakes.push(format!("{}:{}: {word}: {why}", file.path, number + 1));
            }
        }
    }
    mistakes
}

#[test]
fn files_and_lines_are_short() -> io::Result<()> {
    let mut mistakes = Vec::new();
    for file in rust()? {
        let lines = shipped(&file).lines().count();
        if lines > LINES_MAX {
            mistakes.push(format!("{}: {lines} lines, at most {LINES_MAX}", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            let width = line.chars().count();
            if line.contains("{\"") || line.contains("\":") {
                continue;
            }
            let most = if line.contains('"') { WIDTH_MAX_WITH_TEXT } else { WIDTH_MAX };
            if width > most {
                let place = format!("{}:{}", file.path, number + 1);
                mistakes.push(format!("{place}: {width} wide, at most {most}"));
            }
        }
    }
    passes(&mistakes);
    Ok(())
}

/// By indentation, which rustfmt keeps: from `fn` to the brace under it.
#[test]
fn functions_are_short() -> io::Result<()> {
    let mut mistakes = Vec::new();
    for file in rust()? {
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in file.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let begins = ["fn ", "pub fn ", "async fn ", "pub async fn ", "const fn "];
            let begins = begins.iter().any(|word| head.starts_with(word))
                || (head.starts_with("pub(") && head.contains(") fn "));
            if open.is_none() && begins && !head.ends_with(';') && !head.ends_with('}') {
                open = Some((number, indent));
            }
            if let Some((start, outer)) = open
                && indent == outer
                && (head == "}" || head.ends_with(';'))
            {
                let lines = number - start + 1;
                if lines > FUNCTION_LINES_MAX {
                    let place = format!("{}:{}", file.path, start + 1);
                    mistakes.push(format!("{place}: {lines} lines, at most {FUNCTION_LINES_MAX}"));
                }
                open = None;
            }
        }
    }
    passes(&mistakes);
    Ok(())
}

#[test]
fn nothing_is_left_undone() -> io::Result<()> {
    // Put together here, so that this file does not find itself.
    let words = ["TO_DO", "FIX_ME", "XX_X", "dbg_!", "to_do!", "unimple_mented!"];
    let words: Vec<String> = words.iter().map(|word| word.replace('_', "")).collect();
    let mut mistakes = Vec::new();
    for file in rust()? {
        for (number, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(*word)) {
                mistakes.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    passes(&mistakes);
    Ok(())
}

#[test]
fn the_runtime_never_gives_up_by_panic() -> io::Result<()> {
    let files = files(&["src", "state/src", "topologies/src"], &[".rs"])?;
    let words = [".unwrap()", ".unwrap_err()", "panic!(", "unreachable!(", "#[allow("];
    passes(&mentions(&files, &words, "return an error, or expect(\"why it cannot be\")"));
    Ok(())
}

#[test]
fn dependencies_point_one_way() -> io::Result<()> {
    let topologies = files(&["topologies"], &[".rs", "Cargo.toml"])?;
    let broker = ["rdkafka", "rocksdb", "tokio", "aplomb::"];
    let mut mistakes = mentions(&topologies, &broker, "topologies are pure");
    let state = files(&["state"], &[".rs", "Cargo.toml"])?;
    mistakes.extend(mentions(&state, &["kafka", "aplomb_topologies"], "state knows no broker"));
    passes(&mistakes);
    Ok(())
}

/// The parts that hand the commerce topology to the runtime, behind the feature of that name.
const COMMERCE: [&str; 4] = ["src/commerce", "src/demo", "src/cli", "src/main.rs"];

#[test]
fn the_runtime_names_no_business_type() -> io::Result<()> {
    let runtime: Vec<File> = files(&["src"], &[".rs"])?
        .into_iter()
        .filter(|file| !COMMERCE.iter().any(|commerce| file.path.starts_with(commerce)))
        .collect();
    let words = ["aplomb_topologies", "commercetools", "warehouse", "reservation", "lineItem"];
    passes(&mentions(&runtime, &words, "commerce stays behind the feature `commerce`"));
    Ok(())
}

#[test]
fn commands_in_the_readme_exist() -> io::Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let makefile = fs::read_to_string(root().join("Makefile"))?;
    let mut mistakes = Vec::new();
    for line in readme.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("make"), Some(target)) if !makefile.contains(&format!("\n{target}:")) => {
                mistakes.push(format!("README.md: make has no {target}"));
            }
            (Some(script), _)
                if script.starts_with("scripts/") && !root().join(script).exists() =>
            {
                mistakes.push(format!("README.md: there is no {script}"));
            }
            _ => {}
        }
    }
    passes(&mistakes);
    Ok(())
}

#[test]
fn links_between_pages_lead_somewhere() -> io::Result<()> {
    let mut pages = files(&["docs"], &[".md"])?;
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(name))?;
        pages.push(File { path: name.to_owned(), text });
    }
    let mut mistakes = Vec::new();
    for page in &pages {
        let folder = root().join(&page.path);
        let folder = folder.parent().unwrap_or(root());
        for link in page.text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let inside = !target.is_empty() && !target.contains("://");
            if inside && !folder.join(target).exists() {
                mistakes.push(format!("{}: {target} does not exist", page.path));
            }
        }
    }
    passes(&mistakes);
    Ok(())
}
