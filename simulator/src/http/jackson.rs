//! A JSON reader with the error messages and the locations of Jackson 2.3, the reader of the real servers.
//!
//! Clients see the messages (10-bad-input, steps 0, 2 and 6; 04-chain-rule, step 13) and the locations in them. The
//! location of a value in an object is the comma before its name, or the name of the first value.

/// The reason why a body can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The body is empty, or `null`.
    Empty,
    /// The body is not JSON.
    NotJson(String),
    /// The body is JSON that is nested too deeply.
    TooDeep,
    /// The body is JSON of the wrong form.
    Mapping(String),
    /// A bad value for which the server has its own message.
    Custom(String),
}

/// A location in a body: line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Location {
    /// Returns the location as the servers write it. The address of the Java object is different in each real response.
    pub(crate) fn shown(self) -> String {
        format!(
            "[Source: java.io.ByteArrayInputStream@5ca1ab1e; line: {}, column: {}]",
            self.line, self.column
        )
    }
}

/// A value and its location.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located {
    pub(crate) value: Node,
    pub(crate) at: Location,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Flag(bool),
    /// An integer, as the digits that the body has.
    Integer(String),
    Fraction(f64),
    Text(String),
    List(Vec<Located>),
    Map(Vec<(String, Located)>),
}

impl Node {
    /// Returns Jackson's name for a token of this kind.
    pub(crate) fn token(&self) -> &'static str {
        match self {
            Node::Null => "VALUE_NULL",
            Node::Flag(true) => "VALUE_TRUE",
            Node::Flag(false) => "VALUE_FALSE",
            Node::Integer(_) => "VALUE_NUMBER_INT",
            Node::Fraction(_) => "VALUE_NUMBER_FLOAT",
            Node::Text(_) => "VALUE_STRING",
            Node::List(_) => "START_ARRAY",
            Node::Map(_) => "START_OBJECT",
        }
    }
}

/// The highest nesting depth.
const DEEPEST: usize = 128;

/// Reads the first value of `bytes`; like the servers, it ignores what follows.
pub(crate) fn read(bytes: &[u8]) -> Result<Located, BodyError> {
    let mut reader = Reader { bytes, next: 0, line: 1, line_start: 0 };
    if reader.skip_space().is_none() {
        return Err(BodyError::Empty);
    }
    let at = reader.here();
    let value = reader.value(0)?;
    if value == Node::Null { Err(BodyError::Empty) } else { Ok(Located { value, at }) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    next: usize,
    line: usize,
    line_start: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.next).copied()
    }

    /// Returns the location of the next byte.
    fn here(&self) -> Location {
        Location { line: self.line, column: self.next - self.line_start + 1 }
    }

    fn skip_space(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.line_start = self.next + 1;
                }
                b' ' | b'\t' | b'\r' => {}
                other => return Some(other),
            }
            self.next += 1;
        }
        None
    }

    /// Returns the error for a next byte that is not allowed here.
    fn unexpected(&mut self, expected: &str) -> BodyError {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let text = String::from_utf8_lossy(rest.get(..rest.len().min(4)).unwrap_or_default()).into_owned();
        let Some(letter) = text.chars().next() else { return self.ended("") };
        self.next += letter.len_utf8().min(rest.len());
        BodyError::NotJson(format!(
            "Unexpected character ('{letter}' (code {})): {expected}\n at {}",
            u32::from(letter),
            self.here().shown()
        ))
    }

    fn ended(&self, within: &str) -> BodyError {
        BodyError::NotJson(format!("Unexpected end-of-input{within}\n at {}", self.here().shown()))
    }

    fn value(&mut self, depth: usize) -> Result<Node, BodyError> {
        if depth > DEEPEST {
            return Err(BodyError::TooDeep);
        }
        match self.peek() {
            None => Err(self.ended("")),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Node::Text),
            Some(b't') => self.word("true", Node::Flag(true)),
            Some(b'f') => self.word("false", Node::Flag(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.unexpected(
                "expected a valid value (number, String, array, object, 'true', 'false' or 'null')",
            )),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, BodyError> {
        self.next += 1;
        let mut entries = Vec::new();
        loop {
            let Some(byte) = self.skip_space() else { return Err(self.close_marker("OBJECT")) };
            let at = self.here();
            match byte {
                b'}' => {
                    self.next += 1;
                    return Ok(Node::Map(entries));
                }
                b',' if !entries.is_empty() => {
                    self.next += 1;
                    if self.skip_space().is_none() {
                        return Err(self.ended(" within/between OBJECT entries"));
                    }
                }
                _ if !entries.is_empty() => {
                    return Err(self.unexpected("was expecting comma to separate OBJECT entries"));
                }
                _ => {}
            }
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("was expecting double-quote to start field name"));
            }
            let name = self.text()?;
            match self.skip_space() {
                Some(b':') => self.next += 1,
                Some(_) => {
                    return Err(self.unexpected("was expecting a colon to separate field name and value"));
                }
                None => return Err(self.ended(" within/between OBJECT entries")),
            }
            if self.skip_space().is_none() {
                return Err(self.ended(" within/between OBJECT entries"));
            }
            let value = self.value(depth + 1)?;
            entries.push((name, Located { value, at }));
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, BodyError> {
        self.next += 1;
        let mut entries = Vec::new();
        loop {
            let Some(byte) = self.skip_space() else { return Err(self.close_marker("ARRAY")) };
            let at = self.here();
            match byte {
                b']' => {
                    self.next += 1;
                    return Ok(Node::List(entries));
                }
                b',' if !entries.is_empty() => {
                    self.next += 1;
                    if self.skip_space().is_none() {
                        return Err(self.ended(" within/between ARRAY entries"));
                    }
                }
                _ if !entries.is_empty() => {
                    return Err(self.unexpected("was expecting comma to separate ARRAY entries"));
                }
                _ => {}
            }
            let value = self.value(depth + 1)?;
            entries.push(Located { value, at });
        }
    }

    fn close_marker(&self, what: &str) -> BodyError {
        let start = Location { line: 1, column: 0 }.shown();
        self.ended(&format!(": expected close marker for {what} (from {start})"))
    }

    fn text(&mut self) -> Result<String, BodyError> {
        self.next += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else { return Err(self.ended(" in VALUE_STRING")) };
            self.next += 1;
            match byte {
                b'"' => break,
                b'\\' => self.escape(&mut out)?,
                0..=0x1f => {
                    return Err(BodyError::NotJson(format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {byte})): has to be escaped using backslash to be \
                         included in string value\n at {}",
                        self.here().shown()
                    )));
                }
                other => out.push(other),
            }
        }
        String::from_utf8(out).map_err(|bad| {
            let byte = bad.as_bytes().get(bad.utf8_error().valid_up_to()).copied().unwrap_or_default();
            BodyError::NotJson(format!("Invalid UTF-8 start byte 0x{byte:x}\n at {}", self.here().shown()))
        })
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let Some(byte) = self.peek() else { return Err(self.ended(" in character escape sequence")) };
        self.next += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = u32::from(self.hex()?);
                let low = self.bytes.get(self.next..self.next + 2) == Some(b"\\u");
                if (0xD800..0xDC00).contains(&unit) && low {
                    self.next += 2;
                    let second = u32::from(self.hex()?);
                    if (0xDC00..0xE000).contains(&second) {
                        unit = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
                    }
                }
                let letter = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => {
                return Err(BodyError::NotJson(format!(
                    "Unrecognized character escape '{}' (code {other})\n at {}",
                    char::from(other),
                    self.here().shown()
                )));
            }
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u16, BodyError> {
        let digits =
            self.bytes.get(self.next..self.next + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit =
            unit.ok_or_else(|| self.unexpected("expected a hex-digit for character escape sequence"))?;
        self.next += 4;
        Ok(unit)
    }

    fn word(&mut self, word: &str, value: Node) -> Result<Node, BodyError> {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if rest.get(..length) == Some(word.as_bytes()) {
            self.next += length;
            return Ok(value);
        }
        let found = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned();
        self.next += length;
        Err(BodyError::NotJson(format!(
            "Unrecognized token '{found}': was expecting ('true', 'false' or 'null')\n at {}",
            self.here().shown()
        )))
    }

    fn number(&mut self) -> Result<Node, BodyError> {
        let start = self.next;
        let mut fraction = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' | b'-' | b'+' => {}
                b'.' | b'e' | b'E' => fraction = true,
                _ => break,
            }
            self.next += 1;
        }
        let digits =
            String::from_utf8_lossy(self.bytes.get(start..self.next).unwrap_or_default()).into_owned();
        // serde_json knows the grammar of numbers.
        let Ok(number) = serde_json::from_str::<f64>(&digits) else {
            self.next = start;
            return Err(self.unexpected("Invalid numeric value"));
        };
        Ok(if fraction { Node::Fraction(number) } else { Node::Integer(digits) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(body: &str, name: &str) -> Location {
        let Node::Map(entries) = read(body.as_bytes()).unwrap().value else { unreachable!() };
        entries.into_iter().find(|(known, _)| known == name).unwrap().1.at
    }

    #[test]
    fn the_location_of_a_value_is_the_comma_before_its_name() {
        let body = r#"{"id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "type": "nonsense", "position": 1}"#;
        assert_eq!(at(body, "id"), Location { line: 1, column: 2 });
        assert_eq!(at(body, "type"), Location { line: 1, column: 46 });
        assert_eq!(at("{\n \"a\": 1,\n\"b\": 2}", "b"), Location { line: 2, column: 8 });
    }

    #[test]
    fn errors_have_the_messages_of_jackson() {
        let Err(BodyError::NotJson(why)) = read(b"{not json") else { unreachable!() };
        assert!(why.starts_with(
            "Unexpected character ('n' (code 110)): was expecting double-quote to start field name"
        ));
        assert!(why.ends_with("line: 1, column: 3]"), "{why}");
        assert_eq!(read(b"  "), Err(BodyError::Empty));
        assert_eq!(read(b"null"), Err(BodyError::Empty));
        assert_eq!(read("[".repeat(10_000).as_bytes()), Err(BodyError::TooDeep));
    }

    #[test]
    fn no_input_panics() {
        for body in [
            "{",
            "[",
            "\"",
            "\"\\",
            "\"\\u12",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,",
            "-",
            "1e",
            "tru",
            "\u{fe}",
            "[1,]",
            "{,}",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read(b"\"\xff\"").is_err());
        assert!(read(b"1 trailing").is_ok());
    }
}
