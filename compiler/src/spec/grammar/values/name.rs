//! Names.

use serde_json::Value as Json;

use super::text::{pattern, string};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};

/// The longest name, in characters. MidoNet stores longer ones, but keys become file names and labels.
pub const LONGEST_NAME: usize = 63;

/// The names as a pattern.
const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// Returns the problem of a name, if it has one.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Some(format!("is longer than {LONGEST_NAME} characters"));
    }
    let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(character) = name.chars().find(|c| bad(*c)) {
        return Some(format!(
            "has the character {character:?}, which MidoNet or a file system does not take"
        ));
    }
    let first_is_good = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (!first_is_good).then(|| "does not begin with a letter or a digit".to_owned())
}

/// The name of something: it becomes part of keys, of names in MidoNet and of file names.
pub(crate) struct Name;

/// The name of something that is declared elsewhere. A later stage looks it up, and reports a name that nothing has.
pub(crate) struct Named(pub(crate) &'static str);

impl Shape for Name {
    fn wanted(&self) -> String {
        "a name".to_owned()
    }

    fn schema(&self) -> Json {
        pattern(PATTERN)
    }
}

impl Value for Name {
    type Output<'a> = Spanned<String>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<String>> {
        let name = string(reader, key, value, self)?;
        let Some(problem) = name_problem(&name) else { return Some(name) };
        let shown: String =
            name.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let help = "use 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit";
        reader.push(Diagnostic::error(Code::BadName, name.span, format!("`{shown}` {problem}")).help(help));
        None
    }
}

impl Shape for Named {
    fn wanted(&self) -> String {
        self.0.to_owned()
    }

    fn schema(&self) -> Json {
        pattern(PATTERN)
    }
}

impl Value for Named {
    type Output<'a> = Spanned<String>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<String>> {
        string(reader, key, value, self)
    }
}
