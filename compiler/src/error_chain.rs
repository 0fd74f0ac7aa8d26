//! An error with its causes, as text for people.

use std::error::Error;

/// Returns the causes of an error, from the nearest to the deepest.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| {
        let cause: &'e (dyn Error + 'static) = *cause;
        cause.source()
    })
}

/// Returns an error and its causes in one line. A cause whose text stands in the line already is left out: many libraries
/// repeat it.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in causes(error) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}
