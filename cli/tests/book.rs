//! The documentation says what is so: its commands run, its files are read, its links lead somewhere, its picture is true.
//!
//! Between `<!-- tour -->` and `<!-- end: tour -->`, each `toml` block is written to the file that its first line names, each
//! `sh` block is run in one folder, and each line of a `text` block is in what the `sh` block before it printed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use midoform_testutil::browser::Browser;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder, root};
use serde_json::json;

use crate::MIDOFORM;
use crate::served::Served;

/// A fenced block: the language, the text, and the number of its first line.
pub(crate) type Block = (String, String, usize);

pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (at, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), is_open) {
            (Some(language), false) => {
                blocks.push((language.trim().to_owned(), String::new(), at + 2));
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.1 += line;
                block.1.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

/// Returns all chapters of the book, and the README.
pub(crate) fn chapters() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => collect(&path, found),
                false if path.extension().is_some_and(|ending| ending == "md") => found.push(path),
                false => {}
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut found);
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the tour of a chapter, in a folder.
fn tour(name: &str) -> TestFolder {
    let text = read(&root().join(name));
    let (_, rest) = text.split_once("<!-- tour -->\n").unwrap_or_else(|| panic!("{name} has no tour"));
    let (tour, _) =
        rest.split_once("<!-- end: tour -->").unwrap_or_else(|| panic!("{name}: the tour has no end"));
    let folder = TestFolder::default();
    let programs = Path::new(MIDOFORM).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut said = String::new();
    for (language, block, _) in blocks(tour) {
        match language.as_str() {
            "toml" => {
                let file = block.lines().next().unwrap().strip_prefix("# ").unwrap();
                folder.write(file, &block);
            }
            "sh" => {
                let ran = Command::new("sh")
                    .args(["-e", "-c", &block])
                    .current_dir(folder.path())
                    .env("PATH", &path)
                    .env("HOME", folder.path())
                    .output()
                    .unwrap();
                let ran = Ran::from(ran);
                assert_eq!(ran.code, 0, "{name}:\n{block}\n{}{}", ran.stdout, ran.stderr);
                said = ran.stdout + &ran.stderr;
            }
            "text" => {
                for line in block.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
                    assert!(said.contains(line.trim_end()), "{name}: `{line}` is not in\n{said}");
                }
            }
            other => panic!("{name}: a block of `{other}` in a tour"),
        }
    }
    folder
}

/// Checks that the reference has each metric that a page shows, with its meaning.
pub(crate) fn expect_documented_metrics(page: &str) {
    let reference = read(&root().join("docs/reference/metrics.md"));
    let helps: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    assert!(helps.len() > 3, "{page}");
    for help in helps {
        let (name, meaning) = help.split_once(' ').unwrap();
        let row = format!("| `{name}` | {} |", meaning.trim_end_matches('.'));
        assert!(reference.contains(&row), "docs/reference/metrics.md lacks this row:\n{row}");
    }
}

#[test]
fn the_metrics_of_the_embedded_api_are_documented() {
    let folder = TestFolder::default();
    let served = Served::start(&folder, &[]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let mut connection = Connection::open(served.address).unwrap();
    let _ = connection.send("GET", "/midonet-api/", "*/*", "").unwrap();
    expect_documented_metrics(&connection.send("GET", "/metrics", "*/*", "").unwrap().body);
}

#[test]
fn the_tour_of_the_readme_runs() {
    let folder = tour("README.md");
    let _ = folder.run(MIDOFORM, &["verify", "."]).expect_code(0);
}

#[test]
fn the_tutorial_runs() {
    drop(tour("docs/tutorial.md"));
}

/// The picture of the README shows what the review page of its tour shows. Only its visible text is compared: the drawing of
/// letters differs from browser to browser.
#[test]
fn the_picture_of_the_readme_is_true() {
    let Some(mut browser) = Browser::start() else {
        println!("SKIPPED: the picture of the README needs Chromium (Debian: chromium)");
        return;
    };
    let folder = tour("README.md");
    browser.resize(1280, 800);
    browser.media("screen", "light");
    browser.open(&format!("file://{}/review.html", folder.path().display()));
    browser.until("document.querySelector('#changes .row')");
    let shown = browser.evaluate("document.body.innerText");
    let shown = shown.as_str().unwrap().lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    let picture = STANDARD
        .decode(browser.call("Page.captureScreenshot", json!({"format": "png"}))["data"].as_str().unwrap());
    let picture = picture.unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000);
    let images = root().join("docs/images");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(images.join("review-page.txt"), &shown).unwrap();
        std::fs::write(images.join("review-page.png"), &picture).unwrap();
    }
    assert!(images.join("review-page.png").exists());
    assert!(
        read(&images.join("review-page.txt")) == shown,
        "the page shows something else than docs/images/review-page.png: run this test with UPDATE_DOCS=1\n{shown}"
    );
}

/// Every command line of the documentation has options that its command has.
#[test]
fn every_command_has_the_options_that_are_shown() {
    let reference = read(&root().join("docs/reference/commands.md"));
    let sections: Vec<&str> = reference.split("\n## ").collect();
    let common = sections.iter().find(|section| section.starts_with("Options of all commands")).unwrap();
    let mut seen = 0;
    for path in chapters() {
        for (language, block, line) in blocks(&read(&path)) {
            if !["sh", "yaml"].contains(&language.as_str()) {
                continue;
            }
            let words = block.replace("\\\n", " ");
            for command in words.lines().filter_map(|line| line.split("midoform ").nth(1)) {
                let command = command.split([';', '|', '>', '&', '#']).next().unwrap();
                let words: Vec<&str> = command.split_whitespace().collect();
                let name = words.first().copied().unwrap_or_default();
                let own: Vec<&&str> = sections
                    .iter()
                    .filter(|section| section.starts_with(&format!("midoform {name}")))
                    .collect();
                assert!(!own.is_empty(), "{}:{line}: there is no command `{name}`", path.display());
                for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                    let option = option.split('=').next().unwrap();
                    let is_known = |section: &str| {
                        section.contains(&format!("{option} ")) || section.contains(&format!("{option}`"))
                    };
                    assert!(
                        own.iter().any(|section| is_known(section)) || is_known(common),
                        "{}:{line}: `midoform {name}` has no `{option}`",
                        path.display()
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_chapter_is_in_the_summary() {
    let docs = root().join("docs");
    let summary = read(&docs.join("SUMMARY.md"));
    for path in chapters() {
        let Ok(name) = path.strip_prefix(&docs) else { continue };
        let name = name.display().to_string();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name}");
    }
}

/// Each claim of the comparison about midoform names tests that exist.
#[test]
fn the_tests_of_the_comparison_exist() {
    let text = read(&root().join("docs/comparison.md"));
    let (_, rest) = text.split_once("\n## What shows it of midoform\n").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let mut claims = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let marked: Vec<&str> = row.rsplit_once(" | ").unwrap().1.split('`').skip(1).step_by(2).collect();
        assert!(!marked.is_empty() && marked.len().is_multiple_of(2), "{row}");
        for pair in marked.chunks(2) {
            let source = read(&root().join(pair[0]));
            assert!(source.contains(&format!("fn {}()", pair[1])), "{} has no test `{}`", pair[0], pair[1]);
        }
        claims += 1;
    }
    assert!(claims > 8, "{claims}");
}

/// Returns the values of an attribute in a page.
fn attributes(page: &str, name: &str) -> BTreeSet<String> {
    page.split(&format!(" {name}=\""))
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_book_is_built_and_its_links_lead_somewhere() {
    let own = root().join("target/mdbook/bin/mdbook");
    let program = if own.exists() { own } else { PathBuf::from("mdbook") };
    let folder = TestFolder::default();
    let ran = Command::new(program)
        .arg("build")
        .arg(root().join("docs"))
        .arg("--dest-dir")
        .arg(folder.path())
        .output();
    let Ok(ran) = ran else {
        println!("SKIPPED: not installed: mdbook (scripts/test.sh installs it)");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut checked = 0;
    let mut broken = Vec::new();
    for chapter in chapters() {
        let Ok(name) = chapter.strip_prefix(root().join("docs")) else { continue };
        let page = folder.path().join(name.with_extension("html"));
        if !page.exists() {
            continue;
        }
        let text = read(&page);
        for link in attributes(&text, "href").into_iter().chain(attributes(&text, "src")) {
            if link.contains("://") || link.starts_with("mailto:") || link.is_empty() {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = std::fs::read(&target).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let is_right =
                there.is_ok_and(|there| fragment.is_empty() || attributes(&there, "id").contains(fragment));
            if !is_right {
                broken.push(format!("{}: {link}", name.display()));
            }
            checked += 1;
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(checked > 200, "{checked}");
}
