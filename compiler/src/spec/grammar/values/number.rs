//! Numbers and switches.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::{HasDefault, Reader, Shape, TomlValue, Value};

/// An integer between two bounds.
pub(crate) struct Integer<T> {
    least: i64,
    most: i64,
    output: PhantomData<T>,
}

/// Makes the form of an integer from `least` to `most`.
pub(crate) const fn integer<T>(least: i64, most: i64) -> Integer<T> {
    Integer { least, most, output: PhantomData }
}

/// Returns the value of a TOML integer in any of its notations.
pub(super) fn integer_of(value: &TomlValue<'_>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

impl<T> Shape for Integer<T> {
    fn wanted(&self) -> String {
        format!("an integer from {} to {}", self.least, self.most)
    }

    fn schema(&self) -> Json {
        json!({"type": "integer", "minimum": self.least, "maximum": self.most})
    }
}

impl<T: TryFrom<i64> + 'static> Value for Integer<T> {
    type Output<'a> = Spanned<T>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<T>> {
        let Some(number) = integer_of(value) else {
            reader.wrong_type(key, value, &self.wanted());
            return None;
        };
        let span = reader.span(value.span());
        let is_inside = (self.least..=self.most).contains(&number);
        let fitting = T::try_from(number).ok().filter(|_| is_inside);
        if fitting.is_none() {
            let message = format!("`{key}` has to be {}", self.wanted());
            reader.push(Diagnostic::error(Code::OutOfRange, span, message));
        }
        Some(Spanned { value: fitting?, span })
    }
}

impl<T: TryFrom<i64> + Into<i64> + Copy + 'static> HasDefault for Integer<T> {
    type Default = T;

    fn output<'a>(&self, default: T, span: Span) -> Self::Output<'a> {
        Spanned { value: default, span }
    }

    fn json(&self, default: T) -> Json {
        Json::from(default.into())
    }
}

/// One of a few numbers, each with a meaning.
pub(crate) struct Number {
    pub(crate) numbers: &'static [i64],
    pub(crate) code: Code,
    pub(crate) help: &'static str,
}

impl Shape for Number {
    fn wanted(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(ToString::to_string).collect();
        numbers.join(" or ")
    }

    fn schema(&self) -> Json {
        json!({"enum": self.numbers})
    }
}

impl Value for Number {
    type Output<'a> = Spanned<i64>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<i64>> {
        let Some(number) = integer_of(value) else {
            reader.wrong_type(key, value, &self.wanted());
            return None;
        };
        let span = reader.span(value.span());
        if !self.numbers.contains(&number) {
            let message = format!("`{key}` has to be {}, not {number}", self.wanted());
            reader.push(Diagnostic::error(self.code, span, message).help(self.help));
            return None;
        }
        Some(Spanned { value: number, span })
    }
}

impl HasDefault for Number {
    type Default = i64;

    fn output<'a>(&self, default: i64, span: Span) -> Self::Output<'a> {
        Spanned { value: default, span }
    }

    fn json(&self, default: i64) -> Json {
        Json::from(default)
    }
}

/// True or false.
pub(crate) struct Boolean;

impl Shape for Boolean {
    fn wanted(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"type": "boolean"})
    }
}

impl Value for Boolean {
    type Output<'a> = bool;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<bool> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            reader.wrong_type(key, value, &self.wanted());
        }
        found
    }
}

impl HasDefault for Boolean {
    type Default = bool;

    fn output<'a>(&self, default: bool, _: Span) -> Self::Output<'a> {
        default
    }

    fn json(&self, default: bool) -> Json {
        Json::from(default)
    }
}

/// `true`: the key says everything.
pub(crate) struct OnlyTrue;

impl Shape for OnlyTrue {
    fn wanted(&self) -> String {
        "true".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"const": true})
    }
}

impl Value for OnlyTrue {
    /// The position.
    type Output<'a> = Span;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Span> {
        let span = reader.span(value.span());
        match value.get_ref().as_bool() {
            Some(true) => return Some(span),
            Some(false) => {
                let message = format!("`{key}` can only be true");
                reader.push(Diagnostic::error(Code::UnknownWord, span, message).help("leave it out"));
            }
            None => reader.wrong_type(key, value, &self.wanted()),
        }
        None
    }
}
