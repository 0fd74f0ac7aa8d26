//! A TOML table under reading: hands out its keys with their spans, and knows at the end which were unknown.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net};
use toml::de::{DeTable, DeValue};

use super::values::name_problem;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceId, Span, Spanned};

type Value<'a> = toml::Spanned<DeValue<'a>>;

/// What reading needs: the file and where findings go.
pub(crate) struct Reader<'d> {
    pub(crate) source: SourceId,
    pub(crate) diagnostics: &'d mut Diagnostics,
}

impl Reader<'_> {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { source: self.source, start: narrow(range.start), end: narrow(range.end) }
    }

    fn wrong_type(&mut self, key: &str, value: &Value<'_>, wanted: &str) {
        let span = self.span(value.span());
        let message = format!("`{key}` has to be {wanted}");
        self.push(
            Diagnostic::error(Code::WrongType, span, message).here(format!("this is {}", article(value))),
        );
    }
}

fn article(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A table, what people call it, and which keys were asked for.
pub(crate) struct Table<'a> {
    table: &'a DeTable<'a>,
    pub(crate) span: Span,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>, span: Span, what: &'static str) -> Self {
        Table { table, span, what, known: Vec::with_capacity(16) }
    }

    /// The value of a key, untouched.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Where a key's value stands, or else the table.
    pub(crate) fn span_of(&self, reader: &Reader<'_>, key: &str) -> Span {
        self.table.get(key).map_or(self.span, |value| reader.span(value.span()))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// All pairs, for tables whose keys are the author's own.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> + use<'a> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    /// Says that a key is missing where the value is nothing.
    pub(crate) fn required<T>(&self, reader: &mut Reader<'_>, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.has(key) {
            let message = format!("{} needs `{key}`", self.what);
            reader.push(
                Diagnostic::error(Code::MissingKey, self.span, message).help(format!("add `{key} = …`")),
            );
        }
        value
    }

    pub(crate) fn string(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Spanned<String>> {
        let value = self.value(key)?;
        text_of(reader, key, value)
    }

    /// A name: what becomes part of keys, of names in MidoNet and of file names.
    pub(crate) fn name(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Spanned<String>> {
        let found = self.string(reader, key);
        let name = self.required(reader, key, found)?;
        if let Some(problem) = name_problem(&name) {
            let shown: String =
                name.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            let help = "use 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit";
            reader
                .push(Diagnostic::error(Code::BadName, name.span, format!("`{shown}` {problem}")).help(help));
            return None;
        }
        Some(name)
    }

    pub(crate) fn boolean(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            reader.wrong_type(key, value, "true or false");
        }
        found
    }

    /// An integer between two bounds.
    pub(crate) fn integer<T: TryFrom<i64> + Copy>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        let wanted = format!("an integer from {} to {}", bounds.start(), bounds.end());
        let Some(number) = integer_of(value) else {
            reader.wrong_type(key, value, &wanted);
            return None;
        };
        let span = reader.span(value.span());
        let fitting =
            Some(number).filter(|number| bounds.contains(number)).and_then(|number| T::try_from(number).ok());
        if fitting.is_none() {
            reader.push(Diagnostic::error(Code::OutOfRange, span, format!("`{key}` has to be {wanted}")));
        }
        Some(Spanned { value: fitting?, span })
    }

    pub(crate) fn address(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Spanned<Ipv4Addr>> {
        let text = self.string(reader, key)?;
        address_of(reader, &text)
    }

    pub(crate) fn network(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Spanned<Ipv4Net>> {
        let text = self.string(reader, key)?;
        network_of(reader, &text)
    }

    /// A list of strings; `one` allows a single string in its place.
    pub(crate) fn strings(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        one: bool,
    ) -> Vec<Spanned<String>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| text_of(reader, key, item)).collect(),
            DeValue::String(_) if one => text_of(reader, key, value).into_iter().collect(),
            _ => {
                reader.wrong_type(key, value, "a list of strings");
                Vec::new()
            }
        }
    }

    /// A value that has to be one of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.string(reader, key)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let listed: Vec<String> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
            let message = format!("`{key}` can't be `\"{}\"`", text.value);
            let diagnostic = Diagnostic::error(Code::UnknownWord, text.span, message);
            reader.push(diagnostic.help(format!("it may be {}", listed.join(" or "))));
        }
        Some(Spanned { value: found?, span: text.span })
    }

    pub(crate) fn table(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        what: &'static str,
    ) -> Option<Table<'a>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            reader.wrong_type(key, value, "a table");
            return None;
        };
        Some(Table::new(table, reader.span(value.span()), what))
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        what: &'static str,
    ) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            let span = reader.span(value.span());
            let message = format!("`{key}` has to be a list of tables");
            reader.push(Diagnostic::error(Code::WrongType, span, message).help(format!("write `[[{key}]]`")));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Table::new(table, reader.span(item.span()), what)),
                None => reader.wrong_type(key, item, "a table"),
            }
        }
        tables
    }

    /// Reports every key that nothing asked for, with the nearest one that exists.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let nearest = nearest(name, self.known.iter().copied());
            let mut sorted = self.known.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let help = match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("it may have: {}", sorted.join(", ")),
            };
            let message = format!("{} has no key `{name}`", self.what);
            reader.push(Diagnostic::error(Code::UnknownKey, reader.span(key.span()), message).help(help));
        }
    }
}

/// The word that looks most like `word`, if one does.
pub(crate) fn nearest<'w>(word: &str, candidates: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let scored = candidates.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let (distance, candidate) = scored.min()?;
    (distance <= (word.len().max(candidate.len()) / 3).max(1)).then_some(candidate)
}

pub(crate) fn integer_of(value: &Value<'_>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(crate) fn text_of(reader: &mut Reader<'_>, key: &str, value: &Value<'_>) -> Option<Spanned<String>> {
    let span = reader.span(value.span());
    match value.get_ref().as_str() {
        Some(text) => Some(Spanned { value: text.to_owned(), span }),
        None => {
            reader.wrong_type(key, value, "a string");
            None
        }
    }
}

pub(crate) fn wrong_type(reader: &mut Reader<'_>, key: &str, value: &Value<'_>, wanted: &str) {
    reader.wrong_type(key, value, wanted);
}

fn ipv6(span: Span, text: &str) -> Diagnostic {
    let message = format!("`{text}` is IPv6, which this layout does not support");
    let help = "MidoNet's NAT, and with it the tenant layout, is IPv4 only: give an IPv4 address";
    Diagnostic::error(Code::Ipv6, span, message).help(help)
}

pub(crate) fn address_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Ipv4Addr>> {
    match text.value.parse::<IpAddr>() {
        Ok(IpAddr::V4(value)) => return Some(Spanned { value, span: text.span }),
        Ok(IpAddr::V6(_)) => reader.push(ipv6(text.span, &text.value)),
        Err(_) => {
            let message = format!("`{}` is not an IPv4 address", text.value);
            let help = "write four numbers from 0 to 255, such as 192.168.0.10";
            reader.push(Diagnostic::error(Code::BadAddress, text.span, message).help(help));
        }
    }
    None
}

/// A network without host bits; a lone address is a /32.
pub(crate) fn network_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Ipv4Net>> {
    let parsed = match text.value.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.value.parse::<IpNet>().ok(),
    };
    match parsed {
        Some(IpNet::V4(value)) if value.trunc() == value => return Some(Spanned { value, span: text.span }),
        Some(IpNet::V4(value)) => {
            let message = format!("`{value}` has bits set behind its prefix");
            reader.push(
                Diagnostic::error(Code::HostBits, text.span, message)
                    .help(format!("write `{}`", value.trunc())),
            );
        }
        Some(IpNet::V6(_)) => reader.push(ipv6(text.span, &text.value)),
        None => {
            let message = format!("`{}` is not a network", text.value);
            let help = "write an address and a prefix length, such as 10.20.0.0/24";
            reader.push(Diagnostic::error(Code::BadNetwork, text.span, message).help(help));
        }
    }
    None
}
