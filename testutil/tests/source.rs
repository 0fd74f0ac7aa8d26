//! Reads the paths that a Rust file names: tokens without comments, texts and tests, then `use` trees and inline paths.

use std::collections::{BTreeMap, BTreeSet};

/// A token and its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    text: String,
    line: usize,
}

/// A path that a file names, such as `crate::plan::Plan`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    /// Its segments; the last one is `*` for a glob import.
    pub(super) segments: Vec<String>,
    /// The line that it stands in.
    pub(super) line: usize,
    /// The name that a `use` gives it; none for an inline path.
    pub(super) imported_as: Option<String>,
}

/// The modules that a file names.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// All paths of two or more segments, and all imports.
    pub(super) paths: Vec<Path>,
    /// The modules that it declares for tests only (`#[cfg(test)] mod tests;`).
    pub(super) test_modules: Vec<String>,
    /// The names of the items that it defines.
    pub(super) items: BTreeSet<String>,
    /// The full path of each imported name.
    pub(super) imports: BTreeMap<String, Vec<String>>,
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> Source {
    let mut source = Source::default();
    let tokens = without_tests(&tokens(text), &mut source.test_modules);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before)).map(|token| token.text.as_str());
        match token.text.as_str() {
            // `impl Trait + use<'a>` imports nothing.
            "use" if tokens.get(at + 1).is_some_and(|next| next.text == "<") => at += 1,
            "use" => at = use_tree(&tokens, at + 1, &[], &mut source.paths),
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "macro_rules" => {
                let name = tokens.get(at + 1).map(|token| token.text.clone());
                source.items.extend(name.filter(|name| is_name(name)));
                at += 1;
            }
            text if is_name(text) && before != Some("::") && before != Some(".") => {
                at = inline_path(&tokens, at, &mut source.paths);
            }
            _ => at += 1,
        }
    }
    for path in &source.paths {
        let name = path.imported_as.clone().filter(|name| name != "*");
        source.imports.extend(name.map(|name| (name, path.segments.clone())));
    }
    source
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn inline_path(tokens: &[Token], start: usize, paths: &mut Vec<Path>) -> usize {
    let mut segments = vec![tokens[start].text.clone()];
    let mut at = start + 1;
    while let [separator, name, ..] = &tokens[at..]
        && separator.text == "::"
        && is_name(&name.text)
    {
        segments.push(name.text.clone());
        at += 2;
    }
    if segments.len() > 1 {
        paths.push(Path { segments, line: tokens[start].line, imported_as: None });
    }
    at
}

/// Reads one branch of a `use` tree from `at`, and returns where the next one begins.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at, &segments, paths);
                    // A comma; nothing else may stand here.
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text != "}"));
                }
                return at + 1;
            }
            "as" => {
                let imported_as = tokens.get(at + 1).map(|token| token.text.clone());
                paths.push(Path { segments, line, imported_as });
                return at + 2;
            }
            "," | "}" | ";" => break,
            "::" => {}
            text => {
                line = token.line;
                segments.push(text.to_owned());
            }
        }
        at += 1;
    }
    if segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    let imported_as = segments.last().cloned();
    paths.push(Path { segments, line, imported_as });
    at
}

/// Leaves out the items below `#[cfg(test)]`, and notes the modules among them.
fn without_tests(tokens: &[Token], modules: &mut Vec<String>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let marked = tokens[at..].len() >= MARK.len()
            && tokens[at..].iter().zip(MARK).all(|(token, expected)| token.text == expected);
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let mut depth = 0_usize;
        while let Some(token) = tokens.get(at) {
            if let ("mod", Some(name)) = (token.text.as_str(), tokens.get(at + 1)) {
                modules.push(name.text.clone());
            }
            at += 1;
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Splits a text into names, `::` and single signs. Comments, texts, characters, lifetimes and numbers are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if rest.starts_with("r\"") || rest.starts_with("r#") || rest.starts_with("br") => {
                raw_text(rest)
            }
            '"' => quoted(rest, '"'),
            '\'' => character_or_lifetime(rest),
            _ => 0,
        };
        let skipped = length > 0;
        let length = match first {
            _ if skipped => length,
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            _ if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        if !skipped && !first.is_whitespace() {
            found.push(Token { text: token.to_owned(), line });
        }
        line += token.matches('\n').count();
        rest = behind;
    }
    found
}

/// Returns the length of a raw text (`r#"…"#`). It is 0 if the text is not raw, such as the name `break` or `r#type`.
fn raw_text(rest: &str) -> usize {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).unwrap_or(rest);
    let hashes = behind.chars().take_while(|c| *c == '#').count();
    if !behind[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - behind.len() + hashes + 1;
    rest[start..].find(&end).map_or(rest.len(), |found| start + found + end.len())
}

/// Returns the length of a text in quotes, in which a backslash guards the next character.
fn quoted(rest: &str, quote: char) -> usize {
    let mut guarded = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if guarded => guarded = false,
            '\\' => guarded = true,
            _ if character == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut characters = rest.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (_, Some('\'')) => quoted(rest, '\''),
        _ => rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(rest.len(), |end| end + 1),
    }
}

#[test]
fn paths_of_imports_and_of_code() {
    let text = "use crate::a::{self, b::C, d as e};\n// crate::comment::No\nfn f() -> x::Y { \"crate::text::No\" }\n\
                #[cfg(test)]\nmod tests { use crate::z::Z; }\nfn g<'a>() { r#\"crate::raw::No\"#; super::h('\\'') }\n";
    let shown: Vec<String> =
        read(text).paths.iter().map(|path| format!("{}:{}", path.line, path.segments.join("::"))).collect();
    assert_eq!(shown, ["1:crate::a", "1:crate::a::b::C", "1:crate::a::d", "3:x::Y", "6:super::h"]);
    assert_eq!(read(text).test_modules, ["tests"]);
    assert!(read(text).items.iter().eq(["f", "g"]));
}
