//! Messages in a stream: concatenated JSON objects, as RFC 7047 section 4 has them, without any delimiter between them.

use serde_json::{Map, Value};

use crate::printable::first_words;

/// The size of the buffer that is kept between messages, in bytes.
const LEAST_BUFFER: usize = 1 << 20;

/// The limits of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message: usize,
    /// The deepest nesting of arrays and objects; [`Limits::DEEPEST`] at most. OVSDB needs about 10.
    pub depth: usize,
}

impl Limits {
    /// The deepest nesting that the parser of JSON can read.
    pub const DEEPEST: usize = 120;
}

impl Default for Limits {
    /// Returns 256 MiB and a depth of 32.
    fn default() -> Self {
        Limits { message: 256 << 20, depth: 32 }
    }
}

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message does not begin as a JSON object.
    #[error("it sent no JSON object: `{words}`")]
    NoObject {
        /// The printable first words.
        words: String,
    },
    /// A message is an object in its outline only.
    #[error("it sent wrong JSON ({problem}): `{words}`")]
    Syntax {
        /// The parser's words.
        problem: String,
        /// The printable first words of the message.
        words: String,
    },
    /// A message is longer than the limit.
    #[error("it sent a message of more than {limit} bytes: `{words}`")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The printable first words of the message.
        words: String,
    },
    /// A message is nested deeper than the limit.
    #[error("it sent a message with more than {limit} levels of nesting: `{words}`")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// The printable first words of the message.
        words: String,
    },
}

/// A message and its length in bytes.
pub type Message = (Map<String, Value>, usize);

/// Splits a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The beginning of the current message in the buffer.
    start: usize,
    /// The first byte that has not been looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    limits: Limits,
}

impl Decoder {
    /// Returns a decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Decoder {
        let limits = Limits { depth: limits.depth.min(Limits::DEEPEST), ..limits };
        let (in_string, is_escaped) = (false, false);
        Decoder { buffer: Vec::new(), start: 0, at: 0, depth: 0, in_string, is_escaped, limits }
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.at -= self.start;
            self.start = 0;
            // A long message may have been the only one.
            self.buffer.shrink_to(self.buffer.len().max(LEAST_BUFFER));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns true if the stream is between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.depth == 0
    }

    /// Returns the next message; none if it is not complete yet.
    ///
    /// # Errors
    /// When the bytes are no message. The stream can't be read any further then.
    pub fn next_message(&mut self) -> Result<Option<Message>, FramingError> {
        while let Some(byte) = self.buffer.get(self.at).copied() {
            self.at += 1;
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => self.start = self.at,
                b'{' | b'[' if self.depth > 0 || byte == b'{' => {
                    self.depth += 1;
                    if self.depth > self.limits.depth {
                        return Err(FramingError::TooDeep { limit: self.limits.depth, words: self.words() });
                    }
                }
                _ if self.depth == 0 => return Err(FramingError::NoObject { words: self.words() }),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 && self.at - self.start <= self.limits.message {
                        return self.parse().map(Some);
                    }
                }
                _ => {}
            }
            if self.at - self.start > self.limits.message {
                return Err(FramingError::TooLarge { limit: self.limits.message, words: self.words() });
            }
        }
        Ok(None)
    }

    fn parse(&mut self) -> Result<Message, FramingError> {
        let bytes = self.buffer.get(self.start..self.at).unwrap_or_default();
        let parsed = serde_json::from_slice(bytes)
            .map_err(|error| FramingError::Syntax { problem: error.to_string(), words: first_words(bytes) });
        let length = bytes.len();
        self.start = self.at;
        Ok((parsed?, length))
    }

    fn words(&self) -> String {
        first_words(self.buffer.get(self.start..).unwrap_or_default())
    }
}
