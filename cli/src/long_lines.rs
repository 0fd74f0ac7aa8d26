//! Long lines in drawn diagnostics: only the part around the marks is drawn.

use std::collections::BTreeMap;
use std::ops::Range;

use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::files::{Error, Files, SimpleFiles};

/// The number of bytes from which on a line is cut.
const LONG: usize = 400;

/// The number of bytes that are drawn before the first mark.
const BEFORE: usize = 60;

/// The most bytes that are drawn of a long line.
const DRAWN: usize = 200;

/// The sign for what is left out.
const ELLIPSIS: &str = "…";

/// The marked lines of the files of one diagnostic, cut around the marks.
pub(crate) struct CutFiles {
    files: BTreeMap<usize, CutFile>,
}

struct CutFile {
    name: String,
    source: String,
    lines: Vec<CutLine>,
}

/// A line, or the drawn part of it.
struct CutLine {
    /// The line's number in the file.
    number: usize,
    /// Where it begins in the drawn source.
    start: usize,
    /// The number of characters that are left out before it, less the ellipsis.
    left_out: usize,
}

/// Returns the marked lines of a diagnostic with the marks moved there; none if no marked line is long.
pub(crate) fn cut(
    diagnostic: &Diagnostic<usize>,
    files: &SimpleFiles<String, String>,
) -> Option<(Diagnostic<usize>, CutFiles)> {
    let mut marked: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    let mut is_long = false;
    for (at, label) in diagnostic.labels.iter().enumerate() {
        let line = files.line_index(label.file_id, label.range.start).ok()?;
        is_long |= files.line_range(label.file_id, line).ok()?.len() > LONG;
        marked.entry((label.file_id, line)).or_default().push(at);
    }
    if !is_long {
        return None;
    }
    let mut cut = CutFiles { files: BTreeMap::new() };
    let mut labels = diagnostic.labels.clone();
    for ((file, line), marks) in marked {
        let range = files.line_range(file, line).ok()?;
        let text = files.source(file).ok()?.get(range.clone())?.trim_end_matches(['\n', '\r']);
        let ranges: Vec<Range<usize>> = marks
            .iter()
            .filter_map(|at| diagnostic.labels.get(*at))
            .map(|label| within(&label.range, &range, text.len()))
            .collect();
        let drawn = window(text, &ranges);
        let name = files.name(file).ok()?;
        let empty = || CutFile { name, source: String::new(), lines: Vec::new() };
        let own = cut.files.entry(file).or_insert_with(empty);
        let start = own.source.len();
        let dots = if drawn.start > 0 { ELLIPSIS } else { "" };
        let before = text.get(..drawn.start).unwrap_or_default().chars().count();
        own.lines.push(CutLine {
            number: line + 1,
            start,
            left_out: before.saturating_sub(usize::from(!dots.is_empty())),
        });
        own.source.push_str(dots);
        own.source.push_str(text.get(drawn.clone()).unwrap_or_default());
        own.source.push_str(if drawn.end < text.len() { ELLIPSIS } else { "" });
        own.source.push('\n');
        for (at, mark) in marks.iter().zip(ranges) {
            let moved = |byte: usize| start + dots.len() + byte.clamp(drawn.start, drawn.end) - drawn.start;
            if let Some(label) = labels.get_mut(*at) {
                *label = Label { range: moved(mark.start)..moved(mark.end), ..label.clone() };
            }
        }
    }
    Some((Diagnostic { labels, ..diagnostic.clone() }, cut))
}

/// Returns the part of a mark in the line that it begins in.
fn within(mark: &Range<usize>, line: &Range<usize>, length: usize) -> Range<usize> {
    let end = mark.end.saturating_sub(line.start).min(length);
    let start = mark.start.saturating_sub(line.start).min(end);
    start..end
}

/// Returns the part of a line that is drawn: around the first mark, and as many of the others as there is room for.
fn window(text: &str, marks: &[Range<usize>]) -> Range<usize> {
    if text.len() <= LONG {
        return 0..text.len();
    }
    let first = marks.iter().map(|mark| mark.start).min().unwrap_or_default();
    let start = boundary(text, first.saturating_sub(BEFORE));
    start..boundary(text, start + DRAWN)
}

/// Returns the last boundary of characters that is not behind a position.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

impl CutFiles {
    fn file(&self, id: usize) -> Result<&CutFile, Error> {
        self.files.get(&id).ok_or(Error::FileMissing)
    }
}

impl CutFile {
    fn line(&self, index: usize) -> Result<&CutLine, Error> {
        let max = self.lines.len();
        self.lines.get(index).ok_or(Error::LineTooLarge { given: index, max })
    }
}

impl<'a> Files<'a> for CutFiles {
    type FileId = usize;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: usize) -> Result<&'a str, Error> {
        Ok(&self.file(id)?.name)
    }

    fn source(&'a self, id: usize) -> Result<&'a str, Error> {
        Ok(&self.file(id)?.source)
    }

    fn line_index(&'a self, id: usize, byte: usize) -> Result<usize, Error> {
        let found = self.file(id)?.lines.partition_point(|line| line.start <= byte);
        Ok(found.saturating_sub(1))
    }

    fn line_number(&'a self, id: usize, line: usize) -> Result<usize, Error> {
        Ok(self.file(id)?.line(line)?.number)
    }

    fn column_number(&'a self, id: usize, line: usize, byte: usize) -> Result<usize, Error> {
        let file = self.file(id)?;
        let line = file.line(line)?;
        let before = file.source.get(line.start..byte).unwrap_or_default().chars().count();
        Ok(line.left_out + before + 1)
    }

    fn line_range(&'a self, id: usize, line: usize) -> Result<Range<usize>, Error> {
        let file = self.file(id)?;
        let end = file.lines.get(line + 1).map_or(file.source.len(), |next| next.start);
        Ok(file.line(line)?.start..end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_long_line_is_drawn_around_its_mark() {
        let mut files = SimpleFiles::new();
        let text = format!("a = 1\nb = \"{}\u{e9}{}\"\nc = 2\n", "x".repeat(5000), "y".repeat(5000));
        let id = files.add("t.toml".to_owned(), text.clone());
        let at = text.find('\u{e9}').unwrap();
        let label = Label::primary(id, at..at + 2);
        let (moved, cut) = cut(&Diagnostic::error().with_labels(vec![label]), &files).unwrap();
        let mark = moved.labels.first().unwrap().range.clone();
        let source = cut.source(id).unwrap();
        assert_eq!(source.get(mark.clone()), Some("\u{e9}"));
        assert!(source.len() < 220 && source.starts_with(ELLIPSIS) && source.ends_with("y…\n"), "{source}");
        let line = cut.line_index(id, mark.start).unwrap();
        assert_eq!(cut.line_number(id, line).unwrap(), 2);
        assert_eq!(cut.column_number(id, line, mark.start).unwrap(), 5006);
        let short = Label::primary(id, 0..1);
        assert!(super::cut(&Diagnostic::error().with_labels(vec![short]), &files).is_none());
    }
}
