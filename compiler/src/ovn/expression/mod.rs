//! The expressions of OVN that select packets: the `match` of an ACL and of a router's policy.
//!
//! OVN's northbound database takes any text as a match. ovn-controller parses it later, and leaves a row out whose match it
//! can't parse: a packet that the row should drop then passes. So no match is written here as text: it is built of typed parts
//! ([`build`]), printed ([`std::fmt::Display`]), and parsed back by a parser of OVN's grammar ([`parse`]), which refuses what
//! ovn-controller refuses.
//!
//! The parser is a little stricter than ovn-controller: it also refuses a match that is too long ([`LONGEST`]), a comparison by
//! order with a set, and numbers in forms that nobody writes (a MAC address with one digit in a group).

pub mod build;
mod lexer;
pub mod meaning;
mod node;
mod parse;
mod print;
mod symbols;
#[cfg(test)]
mod tests;

pub use lexer::ParseError;
pub use node::Expression;
pub use parse::{LONGEST, Sets, parse};
