//! Text to spec: reads TOML by the grammar, reports everything that is wrong, and goes on.

mod ends;
mod ovn;
mod policy;
mod site;
mod tenant;

use toml::de::DeTable;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{LARGEST_FILE, LineIndex, Source, SourceId, Span, Unreadable};
use crate::spec;
use crate::spec::grammar::{Called, Grammar, Table};

pub use crate::spec::grammar::values::{LONGEST_NAME, name_problem};
pub(crate) use crate::spec::grammar::{Reader, nearest};

/// The most errors of TOML that are reported of a file.
const MOST_SYNTAX_ERRORS: usize = 20;

/// The name of a whole file's table in diagnostics.
const THE_FILE: Called<'static> = Called::Words("the file");

/// Reads a site file. Returns none if it can't be used; the diagnostics have the reasons.
pub fn site(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Site> {
    document(source, id, diagnostics, site::read)
}

/// Reads a tenant file. Returns none if it can't be used; the diagnostics have the reasons.
pub fn tenant(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Tenant> {
    document(source, id, diagnostics, tenant::read)
}

/// Reads a policy file. Returns none if it can't be used; the diagnostics have the reasons.
pub fn policy(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Policy> {
    tree(source, id, diagnostics, |reader, file, span| Some(policy::read_file(reader, file, span)))
}

/// Checks that a source is text, parses it, and calls `read` with the table of the whole file.
pub(crate) fn document<T: Grammar, Output>(
    source: &Source,
    id: SourceId,
    diagnostics: &mut Diagnostics,
    read: impl FnOnce(&mut Reader<'_>, Table<'_, T>) -> Option<Output>,
) -> Option<Output> {
    tree(source, id, diagnostics, |reader, file, span| {
        let table = Table::open(reader, file, span, THE_FILE);
        read(reader, table)
    })
}

fn tree<Output>(
    source: &Source,
    id: SourceId,
    diagnostics: &mut Diagnostics,
    read: impl FnOnce(&mut Reader<'_>, &DeTable<'_>, Span) -> Option<Output>,
) -> Option<Output> {
    let text = readable_text(source, id, diagnostics)?;
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { source: id, diagnostics };
    if errors.is_empty() {
        let whole = Span { source: id, start: 0, end: 0 };
        return read(&mut reader, tree.get_ref(), whole);
    }
    let lines = LineIndex::new(text);
    let mut last_line = None;
    let mut reported = 0;
    for error in &errors {
        let span = reader.span(error.span().unwrap_or_default());
        // The parser goes on in the line of a mistake, and finds more that follows from it.
        let line = lines.line(span.start);
        if last_line.replace(line) == Some(line) || reported == MOST_SYNTAX_ERRORS {
            continue;
        }
        reported += 1;
        let message = error.message().lines().next().unwrap_or("this is not TOML").to_owned();
        let help = "the file has to be TOML: https://toml.io";
        reader.push(Diagnostic::error(Code::Syntax, span, message).help(help));
    }
    None
}

fn readable_text<'a>(source: &'a Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<&'a str> {
    let start = Span { source: id, start: 0, end: 0 };
    let bytes = match &source.content {
        Ok(bytes) => bytes,
        Err(Unreadable::TooLarge(size)) => {
            let message = format!(
                "{} is {} MB; a spec file may have {}",
                source.name,
                size / 1_000_000,
                LARGEST_FILE / 1_000_000
            );
            let help = "split the tenant's rules into address groups, or the file into one for each tenant";
            diagnostics.push(Diagnostic::error(Code::FileTooLarge, start, message).help(help));
            return None;
        }
        Err(Unreadable::Failed(why)) => {
            let message = format!("{} can't be read: {why}", source.name);
            diagnostics.push(Diagnostic::error(Code::UnreadableFile, start, message));
            return None;
        }
    };
    match std::str::from_utf8(bytes) {
        Ok(_) => Some(source.text()),
        Err(error) => {
            let at = error.valid_up_to();
            let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("{} is not UTF-8: byte {at}, in line {line}, can't be read", source.name);
            diagnostics.push(Diagnostic::error(Code::NotUtf8, start, message).help("save the file as UTF-8"));
            None
        }
    }
}
