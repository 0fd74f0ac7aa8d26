//! Sources: the files that a compilation reads, and positions in them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The largest spec file that is read, in bytes. A tenant of a thousand rules has a tenth of this.
pub const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// One file: its name as people see it, and its content, or the reason why it has none.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user wrote it, with `/` between its parts.
    pub name: Arc<str>,
    /// The bytes of the file.
    pub content: Result<Vec<u8>, Unreadable>,
}

/// The reason that a file has no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is larger than [`LARGEST_FILE`]: its size in bytes.
    TooLarge(u64),
    /// The system's error message.
    Failed(String),
}

impl Source {
    /// Makes a source from text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<String>) -> Self {
        Source { name: name.into(), content: Ok(text.into().into_bytes()) }
    }

    /// Returns the text, or nothing if the file could not be read or is not UTF-8. The mark that some editors put
    /// before UTF-8 is no part of it: positions count without it.
    pub fn text(&self) -> &str {
        let text = self.content.as_ref().ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text)).unwrap_or_default()
    }
}

/// The number of a file in a compilation: its position among the sources (0 is the site file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A part of a file: bytes from `start` up to `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A value with its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its position.
    pub span: Span,
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

/// The file and line that caused an object. Each step of a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Provenance {
    /// The file's name.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Provenance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// The starts of a text's lines: turns byte offsets into line and column.
#[derive(Clone, Debug, Default)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Builds the index of a text.
    pub fn new(text: &str) -> Self {
        let behind_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(behind_newlines);
        LineIndex { starts: starts.map(|at| u32::try_from(at).unwrap_or(u32::MAX)).collect() }
    }

    /// Returns the line of a byte, counted from 1.
    pub fn line(&self, byte: u32) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= byte)).unwrap_or(u32::MAX).max(1)
    }

    /// Returns the column of a byte in its line, in characters, counted from 1.
    pub fn column(&self, text: &str, byte: u32) -> u32 {
        let start = self.starts.get(self.line(byte) as usize - 1).copied().unwrap_or(0) as usize;
        let end = (byte as usize).min(text.len());
        let before = text.as_bytes().get(start..end).unwrap_or_default();
        u32::try_from(String::from_utf8_lossy(before).chars().count()).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The lines of several sources: turns spans into file and line.
pub struct Locations<'a> {
    files: Vec<(&'a Source, LineIndex)>,
}

impl<'a> Locations<'a> {
    /// Indexes the lines of all sources.
    pub fn new(sources: impl Iterator<Item = &'a Source>) -> Self {
        Locations { files: sources.map(|source| (source, LineIndex::new(source.text()))).collect() }
    }

    /// Returns the file and the line of a span.
    pub fn provenance(&self, span: Span) -> Option<Provenance> {
        let (source, index) = self.files.get(span.source.0 as usize)?;
        Some(Provenance { file: source.name.clone(), line: index.line(span.start) })
    }
}
