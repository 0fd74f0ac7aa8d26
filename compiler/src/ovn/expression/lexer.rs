//! The tokens of an expression.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::node::{Integer, Notation, Relation};

/// The reason that a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The position in bytes at which it was found.
    pub position: usize,
    /// The reason.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (at byte {})", self.message, self.position)
    }
}

impl std::error::Error for ParseError {}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    Identifier(String),
    Text(String),
    Integer(Integer),
    AddressSet(String),
    PortGroup(String),
    Relation(Relation),
    And,
    Or,
    Not,
    OpenParenthesis,
    CloseParenthesis,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Ellipsis,
}

/// Splits a text into tokens, each with its position in bytes. The last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut lexer = Lexer { bytes: text.as_bytes(), text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let start = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        found.push((start, token));
        if is_end {
            return Ok(found);
        }
    }
}

struct Lexer<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn error<T>(&self, message: &str) -> Result<T, ParseError> {
        Err(ParseError { position: self.at, message: message.to_owned() })
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'/'), Some(b'/')) => {
                    while self.peek(0).is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                (Some(b'/'), Some(b'*')) => {
                    self.at += 2;
                    loop {
                        match (self.peek(0), self.peek(1)) {
                            (Some(b'*'), Some(b'/')) => break,
                            (None | Some(b'\n'), _) => return self.error("`/*` has no `*/`"),
                            _ => self.at += 1,
                        }
                    }
                    self.at += 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.peek(0) else { return Ok(Token::End) };
        let second = self.peek(1);
        let (token, length) = match (first, second) {
            (b'(', _) => (Token::OpenParenthesis, 1),
            (b')', _) => (Token::CloseParenthesis, 1),
            (b'{', _) => (Token::OpenBrace, 1),
            (b'}', _) => (Token::CloseBrace, 1),
            (b'[', _) => (Token::OpenBracket, 1),
            (b']', _) => (Token::CloseBracket, 1),
            (b',', _) => (Token::Comma, 1),
            (b'.', Some(b'.')) => (Token::Ellipsis, 2),
            (b'=', Some(b'=')) => (Token::Relation(Relation::Equal), 2),
            (b'!', Some(b'=')) => (Token::Relation(Relation::NotEqual), 2),
            (b'!', _) => (Token::Not, 1),
            (b'&', Some(b'&')) => (Token::And, 2),
            (b'|', Some(b'|')) => (Token::Or, 2),
            (b'<', Some(b'=')) => (Token::Relation(Relation::LessOrEqual), 2),
            (b'<', _) => (Token::Relation(Relation::Less), 1),
            (b'>', Some(b'=')) => (Token::Relation(Relation::GreaterOrEqual), 2),
            (b'>', _) => (Token::Relation(Relation::Greater), 1),
            (b'$', _) => return self.name_of_set().map(Token::AddressSet),
            (b'@', _) => return self.name_of_set().map(Token::PortGroup),
            (b'"', _) => return self.quoted().map(Token::Text),
            (b'0'..=b'9', _) | (b':', Some(b':')) => return self.integer().map(Token::Integer),
            (b'a'..=b'f' | b'A'..=b'F', _) if self.hexadecimal_digits_end_with_a_colon() => {
                return self.integer().map(Token::Integer);
            }
            (first, _) if first.is_ascii_alphabetic() || first == b'_' => {
                return Ok(Token::Identifier(self.identifier()));
            }
            _ => return self.error("no token of the language begins with this character"),
        };
        self.at += length;
        Ok(token)
    }

    fn identifier(&mut self) -> String {
        let start = self.at;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        while self.peek(0).is_some_and(is_part) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    fn name_of_set(&mut self) -> Result<String, ParseError> {
        self.at += 1;
        match self.peek(0) {
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' || byte == b'.' => Ok(self.identifier()),
            _ => self.error("the name of a set begins with a letter, `_` or `.`"),
        }
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return self.error("the text has no closing quote"),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let text = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text).or_else(|_| self.error("the text is not one of JSON"))
    }

    /// An address of Ethernet or IPv6 may begin with a letter. Then a colon follows its digits, as it follows no name.
    fn hexadecimal_digits_end_with_a_colon(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.iter().find(|byte| !byte.is_ascii_hexdigit()) == Some(&b':')
    }

    /// Reads a number or an address, and the mask behind it.
    fn integer(&mut self) -> Result<Integer, ParseError> {
        let (value, notation) = self.number()?;
        if self.peek(0) != Some(b'/') {
            return Ok(Integer { value, mask: None, notation });
        }
        self.at += 1;
        let (given, of) = self.number()?;
        let (mask, notation) = match (notation, of) {
            (one, other) if one == other => (given, one),
            (Notation::Ipv4, Notation::Decimal) if given <= 32 => (top_bits(given) >> 96, Notation::Ipv4),
            (Notation::Ipv6, Notation::Decimal) if given <= 128 => (top_bits(given), Notation::Ipv6),
            (Notation::Decimal, Notation::Hexadecimal) if value == 0 => (given, Notation::Hexadecimal),
            _ => return self.error("the value and the mask are of different forms"),
        };
        Ok(Integer { value: value & mask, mask: Some(mask), notation })
    }

    fn number(&mut self) -> Result<(u128, Notation), ParseError> {
        let start = self.at;
        let mut has_dot = false;
        while let Some(byte) = self.peek(0) {
            let goes_on = byte.is_ascii_alphanumeric()
                || (byte == b':' && !has_dot)
                || (byte == b'.' && self.peek(1) != Some(b'.'));
            if !goes_on {
                break;
            }
            has_dot |= byte == b'.';
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        number_of(text).or_else(|message| self.error(message))
    }
}

/// Returns 128 bits of which this many at the top are set.
fn top_bits(count: u128) -> u128 {
    match u32::try_from(count) {
        Ok(0) => 0,
        Ok(count @ 1..=128) => u128::MAX << (128 - count),
        _ => u128::MAX,
    }
}

fn number_of(text: &str) -> Result<(u128, Notation), &'static str> {
    if text.is_empty() {
        return Err("a number is missing");
    }
    if let Ok(mac) = text.parse::<crate::values::MacAddress>() {
        let value = mac.0.iter().fold(0, |value, octet| value << 8 | u128::from(*octet));
        return Ok((value, Notation::Ethernet));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err("a decimal number has no leading zeros");
        }
        let value: u64 = text.parse().map_err(|_| "a decimal number is less than 2^64")?;
        return Ok((u128::from(value), Notation::Decimal));
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_hexadecimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let significant = digits.trim_start_matches('0');
        let value = if significant.is_empty() { Ok(0) } else { u128::from_str_radix(significant, 16) };
        return match (is_hexadecimal, value) {
            (true, Ok(value)) => Ok((value, Notation::Hexadecimal)),
            _ => Err("`0x` is followed by up to 32 hexadecimal digits"),
        };
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok((u128::from(u32::from(address)), Notation::Ipv4));
    }
    let address: Ipv6Addr = text.parse().map_err(|_| "this is no number and no address")?;
    Ok((u128::from(address), Notation::Ipv6))
}
