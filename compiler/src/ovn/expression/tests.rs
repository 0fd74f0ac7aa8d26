use super::symbols::SYMBOLS;

#[test]
fn symbols_are_sorted_by_name() {
    assert!(SYMBOLS.is_sorted_by(|one, next| one.name < next.name));
}
