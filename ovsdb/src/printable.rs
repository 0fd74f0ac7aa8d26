//! Text from a server as people may see it.

use std::io;

use serde::Serialize;

/// The number of characters of a message in an error.
const FIRST_WORDS: usize = 80;

/// Returns a text in one line that a terminal shows as it is: control characters, line breaks, and characters that have no
/// width or change the direction of writing are escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_unseen(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Returns the printable beginning of a message.
pub(crate) fn first_words(bytes: &[u8]) -> String {
    // A character has at most four bytes.
    let beginning = bytes.get(..FIRST_WORDS * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(beginning);
    let mut characters = text.chars();
    let words = printable(&characters.by_ref().take(FIRST_WORDS).collect::<String>());
    match characters.next() {
        Some(_) => format!("{words}…"),
        None => words,
    }
}

/// Returns the printable beginning of a message that was read already.
pub(crate) fn first_words_of(message: &impl Serialize) -> String {
    let mut beginning = Beginning(Vec::new());
    // The error is that of the full buffer.
    let _ = serde_json::to_writer(&mut beginning, message);
    first_words(&beginning.0)
}

/// Takes the beginning of what is written, and then fails.
struct Beginning(Vec<u8>);

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > FIRST_WORDS * 4 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_unseen(character: char) -> bool {
    let has_no_width = matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || has_no_width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_in_one_line_and_cut() {
        assert_eq!(first_words(b"HTTP/1.1 400\r\n\x1b[2J"), "HTTP/1.1 400\\r\\n\\u{1b}[2J");
        assert_eq!(first_words(&[0xff, b'a']), "\u{fffd}a");
        let long = "ä".repeat(200);
        assert_eq!(first_words(long.as_bytes()), format!("{}…", "ä".repeat(80)));
        assert_eq!(first_words_of(&serde_json::json!({ "a": [1, "\n"] })), "{\"a\":[1,\"\\n\"]}");
        let deep: Vec<u64> = (0..1_000_000).collect();
        assert_eq!(first_words_of(&deep).chars().count(), 81);
    }
}
