//! Text of somebody else (a server, a file's name) as text on one line, which no terminal takes for a command.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns the text with all control characters, line breaks and signs that change the direction of text escaped:
/// `\n`, `\u{1b}`. Text that has none of them stays as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            other if is_escaped(other) => {
                // Writing to a string does not fail.
                let _ = write!(result, "\\u{{{:x}}}", u32::from(other));
            }
            other => result.push(other),
        }
    }
    Cow::Owned(result)
}

/// Returns the text with everything escaped that [`printable`] escapes, but for line breaks and tabs: several lines of
/// midoform's own, in which each text of somebody else is printable already.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|character| is_escaped(character) && !matches!(character, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(printable).collect();
    Cow::Owned(lines.join("\n"))
}

/// Returns true for a character that a terminal does not print at its place: control characters, line and paragraph
/// separators, signs of direction, and signs without a width.
fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}'
        )
}

/// Returns the beginning of a text, printable, with at most this many characters of it.
pub fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => printable(text).into_owned(),
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_what_steers_a_terminal_is_escaped() {
        assert!(matches!(printable("Zürich \"é\" \\ ok"), Cow::Borrowed("Zürich \"é\" \\ ok")));
        assert_eq!(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(printable("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(printable("\u{9b}2J\u{7f}\u{0}"), "\\u{9b}2J\\u{7f}\\u{0}");
        assert_eq!(printable("a\u{202e}b\u{2028}c\u{feff}"), "a\\u{202e}b\\u{2028}c\\u{feff}");
    }

    #[test]
    fn lines_stay_lines() {
        assert!(matches!(printable_lines("a\n\tb"), Cow::Borrowed("a\n\tb")));
        assert_eq!(printable_lines("a\u{1b}[2J\nb"), "a\\u{1b}[2J\nb");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(beginning("äöü\n", 4), "äöü\\n");
        assert_eq!(beginning("äöü\n", 2), "äö…");
    }
}
