//! Values that are one of a few words.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use super::text::string;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::{HasDefault, Reader, Shape, TomlValue, Value, nearest};

/// A value that has a word in the language.
pub(crate) trait Word: Copy + 'static {
    /// All values that have one.
    const ALL: &'static [Self];

    /// Words that other programs use for a value.
    const ELSEWHERE: &'static [(&'static str, Self)] = &[];

    /// Returns the word.
    fn word(self) -> &'static str;

    /// Returns the value that another word may mean: by a slip of the finger, or since other programs call it so.
    fn meant(word: &str) -> Option<Self> {
        let word = word.trim().to_lowercase();
        let elsewhere = Self::ELSEWHERE.iter().find(|(other, _)| *other == word).map(|(_, value)| *value);
        let near = nearest(&word, Self::ALL.iter().map(|one| one.word()));
        elsewhere.or_else(|| Self::ALL.iter().copied().find(|one| Some(one.word()) == near))
    }
}

/// One of the words of `T`.
pub(crate) struct Words<T>(PhantomData<T>);

/// Makes the form of one of the words of `T`.
pub(crate) const fn words<T>() -> Words<T> {
    Words(PhantomData)
}

/// Returns all words, in quotes.
fn quoted<T: Word>() -> Vec<String> {
    T::ALL.iter().map(|one| format!("`\"{}\"`", one.word())).collect()
}

impl<T: Word> Shape for Words<T> {
    fn wanted(&self) -> String {
        let words = quoted::<T>();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn schema(&self) -> Json {
        let words: Vec<&str> = T::ALL.iter().map(|one| one.word()).collect();
        json!({"enum": words})
    }
}

impl<T: Word> Value for Words<T> {
    type Output<'a> = Spanned<T>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<T>> {
        let text = string(reader, key, value, self)?;
        let found = T::ALL.iter().copied().find(|one| one.word() == text.value);
        if found.is_none() {
            let message = format!("`{key}` can't be `\"{}\"`", text.value);
            let help = match T::meant(&text.value) {
                Some(meant) => {
                    format!("did you mean `\"{}\"`? It may be {}", meant.word(), self.wanted())
                }
                None => format!("it may be {}", self.wanted()),
            };
            reader.push(Diagnostic::error(Code::UnknownWord, text.span, message).help(help));
        }
        Some(Spanned { value: found?, span: text.span })
    }
}

impl<T: Word> HasDefault for Words<T> {
    type Default = T;

    fn output<'a>(&self, default: T, span: Span) -> Self::Output<'a> {
        Spanned { value: default, span }
    }

    fn json(&self, default: T) -> Json {
        Json::from(default.word())
    }
}
