//! The codes of diagnostics: their names, and that each of them is used.

use std::collections::BTreeSet;
use std::path::Path;

use midoform_compiler::diagnostic::Code;

/// Returns a variant's name as words with hyphens: `NotUtf8` becomes `not-utf8`.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for character in variant.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

#[test]
fn names_are_sorted_and_follow_from_the_variants() {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert!(names.is_sorted_by(|one, next| one < next), "{names:#?}");
    for code in Code::ALL {
        assert_eq!(code.name(), kebab(&format!("{code:?}")));
        assert_eq!(code.to_string(), code.name());
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{}\"", code.name()));
    }
}

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("diagnostic/code.rs")
        {
            texts.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_is_used_by_the_crates_that_find_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = Vec::new();
    for folder in ["compiler/src", "packets/src", "cli/src"] {
        sources(&root.join(folder), &mut texts);
    }
    let words = texts.iter().flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == ':')));
    let used: BTreeSet<&str> = words.filter_map(|word| word.strip_prefix("Code::")).collect();
    let unused: Vec<&Code> =
        Code::ALL.iter().filter(|code| !used.contains(format!("{code:?}").as_str())).collect();
    assert_eq!(unused, Vec::<&Code>::new());
}
