//! The midoform command.
fn main() {}
