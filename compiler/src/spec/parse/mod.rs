//! Text to spec: reads TOML with spans, reports everything that is wrong, and goes on.

mod policy;
mod site;
mod table;
mod tenant;
mod values;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{LARGEST_FILE, Source, SourceId, Span, Unreadable};
use crate::spec;

pub(crate) use table::{Reader, Table, nearest};
pub use values::{LONGEST_NAME, name_problem};

/// Reads a site file. Nothing where it is too broken to go on; why is in the diagnostics.
pub fn site(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Site> {
    document(source, id, diagnostics, site::read)
}

/// Reads a tenant file. Nothing where it is too broken to go on; why is in the diagnostics.
pub fn tenant(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Tenant> {
    document(source, id, diagnostics, tenant::read)
}

/// Reads a policy file. Nothing where it is too broken to go on; why is in the diagnostics.
pub fn policy(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<spec::Policy> {
    document(source, id, diagnostics, |reader, file| Some(policy::read_file(reader, file)))
}

/// Checks that a source is text, parses it, and hands its tree to `read`.
pub(crate) fn document<T>(
    source: &Source,
    id: SourceId,
    diagnostics: &mut Diagnostics,
    read: impl FnOnce(&mut Reader<'_>, Table<'_>) -> Option<T>,
) -> Option<T> {
    let text = readable_text(source, id, diagnostics)?;
    let (tree, errors) = toml::de::DeTable::parse_recoverable(text);
    let mut reader = Reader { source: id, diagnostics };
    if errors.is_empty() {
        let whole = Span { source: id, start: 0, end: 0 };
        return read(&mut reader, Table::new(tree.get_ref(), whole, "the file"));
    }
    for error in errors.iter().take(20) {
        let span = reader.span(error.span().unwrap_or_default());
        let message = error.message().lines().next().unwrap_or("this is not TOML").to_owned();
        reader.push(
            Diagnostic::error(Code::Syntax, span, message).help("the file has to be TOML: https://toml.io"),
        );
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
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let at = error.valid_up_to();
            let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("{} is not UTF-8: byte {at}, in line {line}, can't be read", source.name);
            diagnostics.push(Diagnostic::error(Code::NotUtf8, start, message).help("save the file as UTF-8"));
            None
        }
    }
}
