//! The parser of OVN's expressions. It follows the grammar of ovn-controller, with its rules about types, widths and negation.

use super::lexer::{ParseError, Token, tokens};
use super::node::{Constant, Constants, Expression, Field, Integer, Node, Notation, Relation};
use super::symbols::{Level, symbol};

/// The longest match in bytes. OVN has no limit of its own, but every host parses every match.
pub const LONGEST: usize = 32 * 1024;

/// The most pairs of parentheses inside each other that ovn-controller reads.
const DEEPEST: usize = 100;

/// The sets that an expression may refer to.
pub trait Sets {
    /// Returns true if there is an address set with this name. For each port group NAME there is one called `NAME_ip4`.
    fn has_address_set(&self, name: &str) -> bool;

    /// Returns true if there is a port group with this name.
    fn has_port_group(&self, name: &str) -> bool;
}

/// Parses an expression that may refer to these sets.
pub fn parse(text: &str, sets: &dyn Sets) -> Result<Expression, ParseError> {
    if text.len() > LONGEST {
        let message = format!("the match has {} bytes, more than {LONGEST}", text.len());
        return Err(ParseError { position: LONGEST, message });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, sets, is_negated: false, depth: 0 };
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(Expression(node)),
        _ => parser.error("the end of the expression is expected"),
    }
}

struct Parser<'s> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    sets: &'s dyn Sets,
    /// True inside of an odd number of negations.
    is_negated: bool,
    /// The number of open parentheses.
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == token;
        self.at += usize::from(is_next);
        is_next
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        let last = self.tokens.last().map_or(0, |(position, _)| *position);
        let position = self.tokens.get(self.at).map_or(last, |(position, _)| *position);
        Err(ParseError { position, message: message.into() })
    }

    /// Reads operands with one operator between them. Both operators together need parentheses.
    fn expression(&mut self) -> Result<Node, ParseError> {
        let first = self.operand()?;
        let operator = self.peek().clone();
        if !matches!(operator, Token::And | Token::Or) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.takes(&operator) {
            parts.push(self.operand()?);
        }
        match (self.peek(), operator) {
            (Token::And | Token::Or, _) => self.error("`&&` and `||` together need parentheses"),
            (_, Token::And) => Ok(Node::And(parts)),
            _ => Ok(Node::Or(parts)),
        }
    }

    fn operand(&mut self) -> Result<Node, ParseError> {
        if !self.takes(&Token::Not) {
            return Ok(self.primary()?.0);
        }
        self.is_negated = !self.is_negated;
        let inner = self.primary();
        self.is_negated = !self.is_negated;
        match inner? {
            (inner, true) => Ok(Node::Not(Box::new(inner))),
            (_, false) => self.error("the operand of `!` needs parentheses"),
        }
    }

    /// Reads what stands between operators. The second value is true if it needs no parentheses behind a `!`.
    fn primary(&mut self) -> Result<(Node, bool), ParseError> {
        if self.takes(&Token::OpenParenthesis) {
            if self.depth >= DEEPEST {
                return self.error("there are too many parentheses inside each other");
            }
            self.depth += 1;
            let inner = self.expression()?;
            self.depth -= 1;
            if !self.takes(&Token::CloseParenthesis) {
                return self.error("`)` is expected");
            }
            return Ok((inner, true));
        }
        if matches!(self.peek(), Token::Identifier(_)) {
            return self.field_first();
        }
        self.constant_first()
    }

    fn field_first(&mut self) -> Result<(Node, bool), ParseError> {
        if self.tokens.get(self.at + 1).is_some_and(|(_, token)| *token == Token::OpenParenthesis) {
            return Ok((self.function()?, true));
        }
        let field = self.field()?;
        if let Token::Relation(relation) = *self.peek() {
            self.at += 1;
            let constants = self.constants()?;
            return Ok((self.comparison(field, relation, constants)?, false));
        }
        if field.width() == 0 {
            return self.error("a comparison is expected behind a port");
        }
        if field.width() > 1 && !self.is_negated {
            return self.error("a field of several bits is compared, with `!= 0` for instance");
        }
        // Alone, a field means that it is not 0.
        self.check_nominal(&field, Relation::NotEqual, &[0])?;
        Ok((Node::Test(field), true))
    }

    fn function(&mut self) -> Result<Node, ParseError> {
        if self.peek() != &Token::Identifier("is_chassis_resident".to_owned()) {
            return self.error("there is no such function");
        }
        self.at += 2;
        let Token::Text(port) = self.next() else { return self.error("a port's name is expected") };
        match self.takes(&Token::CloseParenthesis) {
            true => Ok(Node::ChassisResident(port)),
            false => self.error("`)` is expected"),
        }
    }

    fn constant_first(&mut self) -> Result<(Node, bool), ParseError> {
        let first = self.constants()?;
        if let (Constants::One(Constant::Integer(integer)), false) =
            (&first, matches!(self.peek(), Token::Relation(_)))
            && integer.notation == Notation::Decimal
            && integer.mask.is_none()
            && integer.value <= 1
        {
            return Ok((Node::Boolean(integer.value == 1), true));
        }
        let relation = self.relation()?;
        let field = self.field()?;
        let Token::Relation(second) = *self.peek() else {
            return Ok((self.comparison(field, relation.turned(), first)?, false));
        };
        self.at += 1;
        let last = self.constants()?;
        let point_one_way =
            !relation.is_equality() && !second.is_equality() && relation.is_upward() == second.is_upward();
        if !point_one_way {
            return self.error("a range has the form `x < field < y` or `x > field > y`");
        }
        self.comparison(field, relation.turned(), first.clone())?;
        self.comparison(field, second, last.clone())?;
        match (first, last) {
            (Constants::One(low), Constants::One(high)) => {
                Ok((Node::Between(low, relation, field, second, high), false))
            }
            _ => self.error("a range has no sets"),
        }
    }

    fn relation(&mut self) -> Result<Relation, ParseError> {
        match *self.peek() {
            Token::Relation(relation) => {
                self.at += 1;
                Ok(relation)
            }
            _ => self.error("a comparison is expected"),
        }
    }

    fn field(&mut self) -> Result<Field, ParseError> {
        let Token::Identifier(name) = self.peek() else { return self.error("a field is expected") };
        let Some(symbol) = symbol(name) else { return self.error(format!("there is no field `{name}`")) };
        self.at += 1;
        if !self.takes(&Token::OpenBracket) {
            return Ok(Field { symbol, bits: None });
        }
        let low = self.bit()?;
        let high = if self.takes(&Token::Ellipsis) { self.bit()? } else { low };
        if !self.takes(&Token::CloseBracket) {
            return self.error("`]` is expected");
        }
        let is_whole = low == 0 && high + 1 == symbol.width;
        if low > high || high >= symbol.width || (symbol.level == Level::Nominal && !is_whole) {
            return self.error(format!("`{}` has no such bits", symbol.name));
        }
        Ok(Field { symbol, bits: Some((low, high)) })
    }

    fn bit(&mut self) -> Result<u16, ParseError> {
        if let Token::Integer(Integer { value, mask: None, notation: Notation::Decimal }) = *self.peek()
            && let Ok(bit @ 0..=128) = u16::try_from(value)
        {
            self.at += 1;
            return Ok(bit);
        }
        self.error("the number of a bit is expected")
    }

    /// Reads a constant, or constants in braces. Commas between them may be left out.
    fn constants(&mut self) -> Result<Constants, ParseError> {
        if !self.takes(&Token::OpenBrace) {
            return Ok(Constants::One(self.constant()?));
        }
        let mut found = Vec::new();
        loop {
            found.push(self.constant()?);
            self.takes(&Token::Comma);
            if self.takes(&Token::CloseBrace) {
                return Ok(Constants::Set(found));
            }
        }
    }

    fn constant(&mut self) -> Result<Constant, ParseError> {
        let constant = match self.peek() {
            Token::Integer(integer) => Constant::Integer(*integer),
            Token::Text(text) => Constant::Text(text.clone()),
            Token::AddressSet(name) if self.sets.has_address_set(name) => Constant::AddressSet(name.clone()),
            Token::PortGroup(name) if self.sets.has_port_group(name) => Constant::PortGroup(name.clone()),
            Token::AddressSet(name) => return self.error(format!("there is no address set `{name}`")),
            Token::PortGroup(name) => return self.error(format!("there is no port group `{name}`")),
            _ => return self.error("a constant is expected"),
        };
        self.at += 1;
        Ok(constant)
    }

    /// Checks that a field can be compared with these constants in this way.
    fn comparison(&self, field: Field, relation: Relation, constants: Constants) -> Result<Node, ParseError> {
        let symbol = field.symbol;
        let mut numbers = Vec::new();
        for constant in constants.all() {
            match constant {
                Constant::Text(_) | Constant::PortGroup(_) if symbol.width == 0 => {}
                Constant::AddressSet(_) if symbol.width >= 32 => {}
                Constant::Integer(integer) if symbol.width > 0 => {
                    if integer.width() > symbol.width {
                        return self.error(format!("the constant does not fit `{}`", symbol.name));
                    }
                    numbers.push(integer.value);
                }
                _ => return self.error(format!("`{}` can't be compared with this constant", symbol.name)),
            }
        }
        if !relation.is_equality() {
            let is_plain =
                matches!(&constants, Constants::One(Constant::Integer(Integer { mask: None, .. })));
            if !is_plain || symbol.level != Level::Ordinal {
                return self.error(format!("`{}` can only be compared by `==` here", symbol.name));
            }
        }
        self.check_nominal(&field, relation, &numbers)?;
        Ok(Node::Compare(field, relation, constants))
    }

    /// Checks that nothing is negated that the switch can only match as it is.
    fn check_nominal(&self, field: &Field, relation: Relation, numbers: &[u128]) -> Result<(), ParseError> {
        let symbol = field.symbol;
        if symbol.level != Level::Nominal {
            return Ok(());
        }
        let is_negative = (relation == Relation::NotEqual) != self.is_negated;
        let is_allowed = match symbol.is_predicate {
            true => numbers.iter().all(|number| (number & 1 == 1) != is_negative),
            false => !is_negative,
        };
        match is_allowed {
            true => Ok(()),
            false => self.error(format!("`{}` can't be negated", symbol.name)),
        }
    }
}
