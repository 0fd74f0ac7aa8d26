//! Shares texts. The texts of tenants differ in ids, addresses and names only, so
//! a text is a shared pattern with values for its holes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;
use uuid::Uuid;

/// The mark of the next hole in a pattern.
const HOLE: char = '\u{1}';
/// The mark of the tenant's name in a pattern.
const TENANT: char = '\u{2}';

/// A text, in terms of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Text {
    /// A pattern that has no holes besides the tenant's name.
    Pattern(u32),
    /// A pattern's number and the values of its holes.
    Filled(Vec<Filling>),
    /// A text without a pattern.
    Plain(String),
}

/// The value of a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Filling {
    /// The number of the pattern, or of an id.
    Number(u32),
    /// An address.
    Text(String),
}

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Shared {
    patterns: BTreeMap<String, u32>,
    ids: BTreeMap<Uuid, u32>,
}

/// The tables as the page has them, in the order of their numbers.
#[derive(Debug, Serialize)]
pub(super) struct Tables {
    patterns: Vec<String>,
    ids: Vec<String>,
}

impl Shared {
    /// Adds a text of a tenant, and returns it as the page stores it.
    pub(super) fn text(&mut self, text: &str, tenant: &str) -> Text {
        if text.contains([HOLE, TENANT]) {
            return Text::Plain(text.to_owned());
        }
        let mut pattern = String::with_capacity(text.len());
        let mut fillings = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let length = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            self.word(word, tenant, &mut pattern, &mut fillings);
            let between = behind.bytes().position(is_word).unwrap_or(behind.len());
            let (separators, behind) = behind.split_at_checked(between).unwrap_or((behind, ""));
            pattern.push_str(separators);
            rest = behind;
        }
        let next = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        let number = *self.patterns.entry(pattern).or_insert(next);
        if fillings.is_empty() {
            return Text::Pattern(number);
        }
        fillings.insert(0, Filling::Number(number));
        Text::Filled(fillings)
    }

    fn word(&mut self, word: &str, tenant: &str, pattern: &mut String, fillings: &mut Vec<Filling>) {
        if word == tenant && !tenant.is_empty() {
            pattern.push(TENANT);
            return;
        }
        if word.len() == 36
            && let Ok(id) = Uuid::try_parse(word)
            && id.to_string() == word
        {
            let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
            fillings.push(Filling::Number(*self.ids.entry(id).or_insert(next)));
            pattern.push(HOLE);
            return;
        }
        // `10.30.0.0-16` stands in keys.
        let (head, tail) = word.split_at_checked(word.find('-').unwrap_or(word.len())).unwrap_or((word, ""));
        match head.parse::<Ipv4Addr>() {
            Ok(address) if address.to_string() == head => {
                fillings.push(Filling::Text(head.to_owned()));
                pattern.push(HOLE);
                pattern.push_str(tail);
            }
            _ => pattern.push_str(word),
        }
    }

    /// Returns the tables.
    pub(super) fn into_tables(self) -> Tables {
        let mut patterns: Vec<(u32, String)> =
            self.patterns.into_iter().map(|(pattern, number)| (number, pattern)).collect();
        let mut ids: Vec<(u32, Uuid)> = self.ids.into_iter().map(|(id, number)| (number, id)).collect();
        patterns.sort_unstable();
        ids.sort_unstable();
        Tables {
            patterns: patterns.into_iter().map(|(_, pattern)| pattern).collect(),
            ids: ids.into_iter().map(|(_, id)| id.to_string()).collect(),
        }
    }
}

/// Returns true for a byte of a word. Every byte that is not ASCII counts, so a cut never falls inside a character.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Restores a text, as the page's script does.
    fn read(text: &Text, tables: &Tables, tenant: &str) -> String {
        let (number, fillings) = match text {
            Text::Plain(text) => return text.clone(),
            Text::Pattern(number) => (*number, &[][..]),
            Text::Filled(fillings) => match fillings.split_first() {
                Some((Filling::Number(number), rest)) => (*number, rest),
                other => panic!("{other:?}"),
            },
        };
        let mut fillings = fillings.iter();
        let mut whole = String::new();
        for character in tables.patterns[number as usize].chars() {
            match character {
                HOLE => match fillings.next().unwrap() {
                    Filling::Number(id) => whole.push_str(&tables.ids[*id as usize]),
                    Filling::Text(text) => whole.push_str(text),
                },
                TENANT => whole.push_str(tenant),
                other => whole.push(other),
            }
        }
        whole
    }

    #[test]
    fn every_text_comes_back() {
        let texts = [
            "",
            "acme",
            "acme/bridge/acme/chain/rule/routed/10.30.0.0-16/via-10.20.0.10",
            "/routers/ecb55746-4bb1-5890-900d-31e2c7ae61ec/ports",
            "ECB55746-4bb1-5890-900d-31e2c7ae61ec",
            "10.0.0.1/24, 010.0.0.1 and 10.0.0.1.5, 租户 acme, é10.0.0.1",
            "\u{1} \u{2} acme",
            "${acme/uplink/port} </script>",
            "-10.0.0.1- - acme-x",
        ];
        let mut shared = Shared::default();
        let written: Vec<Text> = texts.iter().map(|text| shared.text(text, "acme")).collect();
        let tables = shared.into_tables();
        for (text, written) in texts.iter().zip(&written) {
            assert_eq!(read(written, &tables, "acme"), *text);
        }
    }

    #[test]
    fn texts_that_are_alike_have_one_pattern() {
        let mut shared = Shared::default();
        shared.text("POST /ports/ecb55746-4bb1-5890-900d-31e2c7ae61ec a 10.0.0.1", "a");
        shared.text("POST /ports/ecb55746-4bb1-5890-900d-31e2c7ae61ed b 10.0.0.2", "b");
        let tables = shared.into_tables();
        assert_eq!((tables.patterns.len(), tables.ids.len()), (1, 2));
    }
}
