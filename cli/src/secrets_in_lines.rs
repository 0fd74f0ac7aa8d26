//! Covers secrets in the lines of files that are shown: logins in URLs, and the values of keys for secrets. A login is never in a
//! spec, so a key for one is an error, which is drawn with its line.

use std::ops::Range;

use midoform_compiler::diagnostic::{Code, Diagnostic};
use midoform_compiler::source::SourceId;

/// Returns the text of a source with `*` in place of logins and queries in URLs, of the same length in bytes. The URLs are
/// those that the diagnostics call wrong, and all that looks like one in the text.
pub(crate) fn covered(text: &str, source: SourceId, diagnostics: &[Diagnostic]) -> String {
    let mut ranges = Vec::new();
    let wrong = diagnostics.iter().filter(|diagnostic| diagnostic.code == Code::BadUrl);
    let wrong = wrong.map(Diagnostic::span).filter(|span| span.source == source);
    for range in wrong.map(|span| span.start as usize..span.end as usize) {
        // The span has the quotes as well. A URL in it may have any form.
        let url = text.get(range.clone()).unwrap_or_default();
        let quote = url.len() - url.trim_start_matches(['"', '\'']).len();
        secrets_of(url, quote, range.start, &mut ranges);
    }
    let mut at = 0;
    for piece in text.split_inclusive(['"', '\'', '\n']) {
        let end = piece.strip_suffix(['"', '\'', '\n']).unwrap_or(piece);
        if let Some(start) = start_of_url(end) {
            secrets_of(end, start, at, &mut ranges);
        }
        at += piece.len();
    }
    values_of_secrets(text, &mut ranges);
    cover(text, &ranges)
}

/// The parts of the names of keys that hold a secret.
const SECRET: [&str; 4] = ["password", "passwd", "secret", "token"];

/// Adds the ranges of the values of keys that are called like a secret.
fn values_of_secrets(text: &str, ranges: &mut Vec<Range<usize>>) {
    let lower = text.to_ascii_lowercase();
    for word in SECRET {
        for (found, _) in lower.match_indices(word) {
            let rest = text.get(found..).unwrap_or_default();
            let name = rest.find(|c: char| !c.is_alphanumeric() && !"_-".contains(c)).unwrap_or(rest.len());
            let behind = rest.get(name..).unwrap_or_default();
            let value = behind.trim_start_matches(['"', '\'', ' ', '\t']).strip_prefix(['=', ':']);
            let Some(value) = value.map(|value| value.trim_start_matches([' ', '\t'])) else { continue };
            let start = text.len() - value.len();
            ranges.push(start..start + length_of_value(value));
        }
    }
}

/// Returns the length of a value: to its closing quotes, or to the line's end.
fn length_of_value(value: &str) -> usize {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| value.starts_with(*quote));
    let line = value.find('\n').unwrap_or(value.len());
    match quote {
        // In the query of a URL, the value ends with the URL.
        None => value.find(['"', '\n']).unwrap_or(value.len()),
        Some(quote) => {
            let inside = value.get(quote.len()..).unwrap_or_default();
            let closed = inside.find(quote).map(|end| end + 2 * quote.len());
            // A value on one line that does not end there is wrong: all of the line may be the secret.
            closed.filter(|end| quote.len() == 3 || *end <= line).unwrap_or(if quote.len() == 3 {
                value.len()
            } else {
                line
            })
        }
    }
}

/// Returns the start of what looks like a URL: with a scheme, or with a user and a password.
fn start_of_url(piece: &str) -> Option<usize> {
    let colon = piece.find(':')?;
    let is_url = piece.contains("://") || piece.get(colon..).is_some_and(|rest| rest.contains('@'));
    let before = piece.get(..colon).unwrap_or_default();
    let is_word = |character: char| !character.is_whitespace() && !"=[{,".contains(character);
    is_url.then(|| before.trim_end_matches(is_word).len())
}

/// Adds the ranges of the login and of the query of a URL that starts at `start` in a text, which itself is at `at`.
fn secrets_of(text: &str, start: usize, at: usize, ranges: &mut Vec<Range<usize>>) {
    let url = text.get(start..).unwrap_or_default();
    let scheme =
        url.find("://").filter(|end| url.bytes().take(*end).all(|byte| byte.is_ascii_alphanumeric()));
    let host = scheme.map_or(start, |end| start + end + 3);
    let rest = text.get(host..).unwrap_or_default();
    let login = rest.rfind('@').unwrap_or(0);
    ranges.push(at + host..at + host + login);
    let behind = rest.get(login..).unwrap_or_default();
    if let Some(query) = behind.find(['?', '#']) {
        let query = login + query + 1;
        let end = rest.trim_end_matches(['"', '\'']).len().max(query);
        ranges.push(at + host + query..at + host + end);
    }
}

fn cover(text: &str, ranges: &[Range<usize>]) -> String {
    let mut is_secret = vec![false; text.len()];
    for range in ranges {
        is_secret.get_mut(range.clone()).into_iter().for_each(|part| part.fill(true));
    }
    let mut covered = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        match is_secret.get(at) == Some(&true) && character != '\n' {
            true => covered.extend(std::iter::repeat_n('*', character.len_utf8())),
            false => covered.push(character),
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use midoform_compiler::source::Span;

    use super::*;

    #[test]
    fn what_looks_like_a_url_has_no_login_and_no_query() {
        for (text, shown) in [
            ("a = \"http://me:hunter2@h/x\" # b@c", "a = \"http://**********@h/x\" # b@c"),
            ("d = 'https://x/y' e@f", "d = 'https://x/y' e@f"),
            ("mail = \"me@h\"", "mail = \"me@h\""),
            ("url = \"me:hunter2@h:1/m\"", "url = \"**********@h:1/m\""),
            ("url = me:hunter2@h", "url = **********@h"),
            ("url = http://me:hun ter2@h", "url = http://***********@h"),
            ("url = \"http:\\\\\\\\me:hunter2@h\"", "url = \"*******************@h\""),
            ("url = \"http://h/x?token=hunter2\"", "url = \"http://h/x?*************\""),
            ("url = \"http://h/x#hunter2\"", "url = \"http://h/x#*******\""),
            ("url = \"http://p\u{e4}ss:w/o?@h\"", "url = \"http://**********@h\""),
            ("x = [\"http://a:1,http://me:hunter2@b\"]", "x = [\"http://*********************@b\"]"),
            ("url = \"http://me:hunter2@", "url = \"http://**********@"),
        ] {
            let covered = covered(text, SourceId(0), &[]);
            assert_eq!(covered, shown);
            assert_eq!(covered.len(), text.len());
        }
    }

    #[test]
    fn the_values_of_keys_for_secrets_are_covered() {
        for (text, shown) in [
            ("password = \"hunter2\" # x", "password = ********* # x"),
            (
                "etcd = { user = \"a\", Password='p', ca = \"x\" }",
                "etcd = { user = \"a\", Password=***, ca = \"x\" }",
            ),
            ("client_secret = hunter2", "client_secret = *******"),
            ("\"api-token\": \"a b", "\"api-token\": ****"),
            ("password = \"\"\"a\nb\"\"\"\nx = 1", "password = ****\n****\nx = 1"),
            ("name = \"secret-garden\"", "name = \"secret-garden\""),
        ] {
            assert_eq!(covered(text, SourceId(0), &[]), shown);
        }
    }

    #[test]
    fn a_wrong_url_is_covered_whatever_its_form() {
        for (url, shown) in [
            ("\"hunter2@h\"", "\"*******@h\""),
            ("\"h/x?token=hunter2\"", "\"h/x?*************\""),
            ("'me:hun\"ter2@h'", "'***********@h'"),
            ("\"\"\"http://me:hun\nter2@h\"\"\"", "\"\"\"http://******\n****@h\"\"\""),
        ] {
            let text = format!("url = {url}");
            let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let span = Span { source: SourceId(1), start: 6, end };
            let found = [Diagnostic::error(Code::BadUrl, span, "is wrong")];
            assert_eq!(covered(&text, SourceId(1), &found), format!("url = {shown}"));
        }
    }
}
