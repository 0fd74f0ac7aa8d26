//! The text of an expression. It is parsed back to the same expression.

use std::fmt::{Display, Formatter, Result};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::node::{Constant, Constants, Field, Integer, Node, Notation, Relation};

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Node::Boolean(value) => write!(formatter, "{}", u8::from(*value)),
            Node::Test(field) => field.fmt(formatter),
            Node::Compare(field, relation, constants) => write!(formatter, "{field} {relation} {constants}"),
            Node::Between(low, first, field, second, high) => {
                write!(formatter, "{low} {first} {field} {second} {high}")
            }
            Node::ChassisResident(port) => write!(formatter, "is_chassis_resident({})", quoted(port)),
            Node::And(parts) => joined(formatter, parts, " && "),
            Node::Or(parts) => joined(formatter, parts, " || "),
            Node::Not(inner) => match &**inner {
                // Only these are whole without parentheses.
                Node::Boolean(_) | Node::Test(_) | Node::ChassisResident(_) => write!(formatter, "!{inner}"),
                other => write!(formatter, "!({other})"),
            },
        }
    }
}

/// Writes the parts of an "and" or an "or". The grammar has no precedence: parts that are one of them have parentheses.
fn joined(formatter: &mut Formatter<'_>, parts: &[Node], operator: &str) -> Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            formatter.write_str(operator)?;
        }
        match part {
            Node::And(_) | Node::Or(_) => write!(formatter, "({part})")?,
            other => other.fmt(formatter)?,
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Display for Field {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(self.symbol.name)?;
        match self.bits {
            None => Ok(()),
            Some((low, high)) if low == high => write!(formatter, "[{low}]"),
            Some((low, high)) => write!(formatter, "[{low}..{high}]"),
        }
    }
}

impl Display for Relation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(match self {
            Relation::Equal => "==",
            Relation::NotEqual => "!=",
            Relation::Less => "<",
            Relation::LessOrEqual => "<=",
            Relation::Greater => ">",
            Relation::GreaterOrEqual => ">=",
        })
    }
}

impl Display for Constants {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let constants = match self {
            Constants::One(constant) => return constant.fmt(formatter),
            Constants::Set(constants) => constants,
        };
        formatter.write_str("{")?;
        for (at, constant) in constants.iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(formatter, "{separator}{constant}")?;
        }
        formatter.write_str("}")
    }
}

impl Display for Constant {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Constant::Integer(integer) => integer.fmt(formatter),
            Constant::Text(text) => formatter.write_str(&quoted(text)),
            Constant::AddressSet(name) => write!(formatter, "${name}"),
            Constant::PortGroup(name) => write!(formatter, "@{name}"),
        }
    }
}

impl Display for Integer {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        number(formatter, self.value, self.notation)?;
        let Some(mask) = self.mask else { return Ok(()) };
        let length = match self.notation {
            Notation::Ipv4 => prefix_length(mask << 96, 32),
            Notation::Ipv6 => prefix_length(mask, 128),
            Notation::Decimal | Notation::Hexadecimal | Notation::Ethernet => None,
        };
        formatter.write_str("/")?;
        match length {
            Some(length) => write!(formatter, "{length}"),
            None => number(formatter, mask, self.notation),
        }
    }
}

fn number(formatter: &mut Formatter<'_>, value: u128, notation: Notation) -> Result {
    // The lowest bits of the value are those that the notation shows; it has no others.
    let low = u32::try_from(value & u128::from(u32::MAX)).unwrap_or_default();
    match notation {
        Notation::Decimal => write!(formatter, "{value}"),
        Notation::Hexadecimal => write!(formatter, "{value:#x}"),
        Notation::Ipv4 => write!(formatter, "{}", Ipv4Addr::from(low)),
        Notation::Ipv6 => write!(formatter, "{}", Ipv6Addr::from(value)),
        Notation::Ethernet => {
            let [.., a, b, c, d, e, f] = value.to_be_bytes();
            write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
        }
    }
}

/// Returns the number of bits at the top of a mask, if these are all that it has.
fn prefix_length(mask: u128, width: u32) -> Option<u32> {
    let length = mask.leading_ones();
    (length <= width && mask.count_ones() == length).then_some(length)
}
