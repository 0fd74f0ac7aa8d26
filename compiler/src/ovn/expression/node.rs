//! Expressions as trees.

use std::fmt;

use super::symbols::Symbol;

/// An expression that selects packets. It is either built ([`super::build`]) or parsed ([`super::parse`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(pub(super) Node);

/// The form of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// `1` or `0`: every packet, or none.
    Boolean(bool),
    /// A field or a predicate alone: `tcp`, `ct.new`, `vlan.tci[12]`.
    Test(Field),
    /// A field and a constant, or a set of constants.
    Compare(Field, Relation, Constants),
    /// A field between two constants: `8000 <= tcp.dst <= 8100`. Both relations point the same way.
    Between(Constant, Relation, Field, Relation, Constant),
    /// `is_chassis_resident("port")`: true on the host that the port is bound on.
    ChassisResident(String),
    /// At least two expressions, of which all have to hold.
    And(Vec<Node>),
    /// At least two expressions, of which one has to hold.
    Or(Vec<Node>),
    /// An expression that must not hold.
    Not(Box<Node>),
}

/// A field, or some bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) symbol: &'static Symbol,
    /// The lowest and the highest bit; none: the whole field.
    pub(super) bits: Option<(u16, u16)>,
}

impl Field {
    /// Returns the number of bits that are compared. A text has none.
    pub(super) fn width(&self) -> u16 {
        self.bits.map_or(self.symbol.width, |(low, high)| high - low + 1)
    }
}

/// A relation between a field and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    /// Returns the relation with its sides exchanged.
    pub(super) fn turned(self) -> Relation {
        match self {
            Relation::Less => Relation::Greater,
            Relation::LessOrEqual => Relation::GreaterOrEqual,
            Relation::Greater => Relation::Less,
            Relation::GreaterOrEqual => Relation::LessOrEqual,
            same => same,
        }
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Relation::Equal | Relation::NotEqual)
    }

    /// Returns true if the side at the left is the smaller one.
    pub(super) fn is_upward(self) -> bool {
        matches!(self, Relation::Less | Relation::LessOrEqual)
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constants {
    One(Constant),
    /// At least one, in braces.
    Set(Vec<Constant>),
}

impl Constants {
    pub(super) fn all(&self) -> &[Constant] {
        match self {
            Constants::One(constant) => std::slice::from_ref(constant),
            Constants::Set(constants) => constants,
        }
    }
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    Integer(Integer),
    /// A text: the name of a port.
    Text(String),
    /// `$name`: the addresses of an address set.
    AddressSet(String),
    /// `@name`: the ports of a port group.
    PortGroup(String),
}

/// A number, an address, or one of them with a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    pub(super) value: u128,
    /// The bits that count; none: all. No other bit is set in the value.
    pub(super) mask: Option<u128>,
    pub(super) notation: Notation,
}

/// The form in which a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Decimal,
    Hexadecimal,
    Ipv4,
    Ipv6,
    Ethernet,
}

impl Integer {
    /// Returns the number of bits that a field needs to hold the number.
    pub(super) fn width(&self) -> u16 {
        let significant = |value: u128| u16::try_from(128 - value.leading_zeros()).unwrap_or(128);
        match (self.mask, self.notation) {
            (Some(mask), _) => significant(mask),
            (None, Notation::Decimal | Notation::Hexadecimal) => significant(self.value),
            (None, Notation::Ipv4) => 32,
            (None, Notation::Ethernet) => 48,
            (None, Notation::Ipv6) => 128,
        }
    }
}

impl Expression {
    /// Returns the names of the address sets that the expression refers to, in order.
    pub fn address_sets(&self) -> Vec<&str> {
        self.names(|constant| match constant {
            Constant::AddressSet(name) => Some(name),
            _ => None,
        })
    }

    /// Returns the names of the port groups that the expression refers to, in order.
    pub fn port_groups(&self) -> Vec<&str> {
        self.names(|constant| match constant {
            Constant::PortGroup(name) => Some(name),
            _ => None,
        })
    }

    /// Returns the names of the ports that the expression names as text, in order.
    pub fn port_names(&self) -> Vec<&str> {
        self.names(|constant| match constant {
            Constant::Text(name) => Some(name),
            _ => None,
        })
    }

    fn names(&self, name: impl Fn(&Constant) -> Option<&String>) -> Vec<&str> {
        let mut found = Vec::new();
        self.0.each_constant(&mut |constant| found.extend(name(constant).map(String::as_str)));
        found
    }
}

impl Node {
    fn each_constant<'n>(&'n self, visit: &mut dyn FnMut(&'n Constant)) {
        match self {
            Node::Boolean(_) | Node::Test(_) | Node::ChassisResident(_) => {}
            Node::Compare(_, _, constants) => constants.all().iter().for_each(visit),
            Node::Between(low, _, _, _, high) => [low, high].into_iter().for_each(visit),
            Node::And(parts) | Node::Or(parts) => parts.iter().for_each(|part| part.each_constant(visit)),
            Node::Not(inner) => inner.each_constant(visit),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
