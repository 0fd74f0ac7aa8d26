//! Text from outside as people may see it: names from a server, names of files, texts of a spec.

use std::borrow::Cow;

/// Returns a text in one line that a terminal shows as it is: control characters, line breaks, and characters that change the
/// direction of writing or have no width are escaped, as `\n` or `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_escaped(character) {
            true => shown.extend(escape(character)),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Returns the beginning of a text, printable, with at most this many characters of it.
pub fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => printable(text).into_owned(),
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or(text))),
    }
}

fn escape(character: char) -> impl Iterator<Item = char> {
    let short = matches!(character, '\n' | '\r' | '\t').then(|| character.escape_default());
    let long = short.is_none().then(|| character.escape_unicode());
    short.into_iter().flatten().chain(long.into_iter().flatten())
}

/// Returns true for a character that [`printable`] escapes: it does something else than to be seen.
pub fn is_escaped(character: char) -> bool {
    let is_unseen = matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || is_unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_line_reader_would_obey_is_escaped() {
        for (text, shown) in [
            ("web front, été 租户 ✓", "web front, été 租户 ✓"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\0\u{7f}", "\\u{0}\\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{2028}d\u{feff}", "a\\u{202e}b\\u{2066}c\\u{2028}d\\u{feff}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(beginning("äöü\n", 4), "äöü\\n");
        assert_eq!(beginning("äöü\n", 2), "äö…");
    }
}
