//! Parts of the documentation that are generated from the code: between `<!-- begin: NAME -->` and `<!-- end: NAME -->` in a chapter.

/// Checks that a chapter has these parts: names, and the generated texts. With `UPDATE_DOCS=1` in the environment it writes them.
///
/// # Panics
/// When a part is not current, or the chapter has no such part.
pub fn expect_generated(chapter: &str, parts: &[(&str, String)]) {
    let path = crate::root().join(chapter);
    let old = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{chapter}: {error}"));
    let new =
        parts.iter().fold(old.clone(), |text, (name, generated)| replaced(chapter, &text, name, generated));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &new).unwrap();
    } else {
        assert!(
            old == new,
            "{chapter} is not current: run this test with UPDATE_DOCS=1, and read the difference"
        );
    }
}

fn replaced(chapter: &str, text: &str, name: &str, generated: &str) -> String {
    let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{chapter} has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{chapter} has no {end}"));
    format!("{before}{begin}{generated}{end}{after}")
}
