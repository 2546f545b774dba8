//! From [`Expression`] to text that reads the same.

use std::fmt;

use crate::parser::is_of_key;
use crate::{Argument, Expression, Field, Restriction, Tail};

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => joined(formatter, parts, " AND "),
            Self::Or(parts) => joined(formatter, parts, " OR "),
            Self::Not(inner) => {
                formatter.write_str("NOT ")?;
                operand(formatter, inner)
            }
            Self::Restriction(restriction) => write!(formatter, "{restriction}"),
        }
    }
}

fn joined(formatter: &mut fmt::Formatter<'_>, parts: &[Expression], operator: &str) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            formatter.write_str(operator)?;
        }
        operand(formatter, part)?;
    }
    Ok(())
}

/// Parentheses wherever there is a choice: nobody has to know what binds tighter.
fn operand(formatter: &mut fmt::Formatter<'_>, part: &Expression) -> fmt::Result {
    match part {
        Expression::And(_) | Expression::Or(_) => write!(formatter, "({part})"),
        Expression::Not(_) | Expression::Restriction(_) => write!(formatter, "{part}"),
    }
}

impl fmt::Display for Restriction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparator = self.comparator.as_str();
        write!(formatter, "{} {comparator} {}", self.field, self.argument)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        match &self.member {
            None => Ok(()),
            Some(member) if member.chars().all(is_of_key) => write!(formatter, ".{member}"),
            Some(member) => {
                formatter.write_str(".")?;
                quoted(formatter, member, Tail::Nothing)
            }
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(formatter, &self.text, self.tail)
    }
}

fn quoted(formatter: &mut fmt::Formatter<'_>, text: &str, tail: Tail) -> fmt::Result {
    use fmt::Write as _;
    formatter.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\' | '*') {
            formatter.write_char('\\')?;
        }
        formatter.write_char(character)?;
    }
    formatter.write_str(match tail {
        Tail::Nothing => "\"",
        Tail::Any => "*\"",
    })
}
