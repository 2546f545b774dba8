//! From text to [`Expression`], by recursive descent.

use crate::error::{Expected, FilterError};
use crate::{
    Argument, Comparator, Expression, Field, MAX_BYTES, MAX_DEPTH, MAX_TERMS, Restriction, Tail,
};

/// Reads a filter; `None` for an empty one, which everything passes.
pub fn parse(text: &str) -> Result<Option<Expression>, FilterError> {
    if text.len() > MAX_BYTES {
        return Err(FilterError::TooLong(text.len()));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        terms: 0,
    };
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok(None);
    }
    let expression = parser.expression()?;
    if !parser.rest().is_empty() {
        return Err(parser.unexpected(Expected::Operator));
    }
    Ok(Some(expression))
}

struct Parser<'t> {
    text: &'t str,
    /// What was read up to, always at a character's start.
    at: usize,
    depth: usize,
    terms: usize,
}

type Read<T> = Result<T, FilterError>;

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes `token` and the space after it, if it stands here.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
            self.skip_space();
        }
        found
    }

    /// Takes a word that is not the beginning of a longer one.
    fn take_word(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else {
            return false;
        };
        let ends = after
            .chars()
            .next()
            .is_none_or(|next| next.is_whitespace() || next == '(');
        ends && self.take(word)
    }

    fn unexpected(&self, expected: Expected) -> FilterError {
        let found: String = self.rest().chars().take(12).collect();
        FilterError::Unexpected {
            at: self.at,
            expected,
            found: match found.as_str() {
                "" => "the end".to_owned(),
                text => format!("{text:?}"),
            },
        }
    }

    fn expression(&mut self) -> Read<Expression> {
        let mut parts = vec![self.factor()?];
        loop {
            let said = self.take_word("AND");
            let over = self.rest().is_empty() || self.rest().starts_with(')');
            if over && !said {
                return Ok(one_or(parts, Expression::And));
            }
            parts.push(self.factor()?);
        }
    }

    fn factor(&mut self) -> Read<Expression> {
        let mut parts = vec![self.term()?];
        while self.take_word("OR") {
            parts.push(self.term()?);
        }
        Ok(one_or(parts, Expression::Or))
    }

    fn term(&mut self) -> Read<Expression> {
        if self.depth >= MAX_DEPTH {
            return Err(FilterError::TooDeep { at: self.at });
        }
        self.depth += 1;
        let term = if self.take_word("NOT") || self.take("-") {
            Expression::Not(Box::new(self.term()?))
        } else if self.take("(") {
            let inner = self.expression()?;
            if !self.take(")") {
                return Err(self.unexpected(Expected::Close));
            }
            inner
        } else {
            Expression::Restriction(self.restriction()?)
        };
        self.depth -= 1;
        Ok(term)
    }

    fn restriction(&mut self) -> Read<Restriction> {
        if self.terms >= MAX_TERMS {
            return Err(FilterError::TooManyTerms { at: self.at });
        }
        self.terms += 1;
        let field = self.field()?;
        self.skip_space();
        let comparator = Comparator::ALL
            .into_iter()
            .find(|(_, text)| self.take(text))
            .ok_or_else(|| self.unexpected(Expected::Comparator))?
            .0;
        let argument = self.argument()?;
        self.skip_space();
        Ok(Restriction {
            field,
            comparator,
            argument,
        })
    }

    /// Takes the longest run of such characters.
    fn run(&mut self, allowed: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|next| !allowed(next)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn field(&mut self) -> Read<Field> {
        let at = self.at;
        if !self
            .rest()
            .starts_with(|first: char| first.is_ascii_alphabetic())
        {
            return Err(self.unexpected(Expected::Term));
        }
        let name = self
            .run(|next| next.is_ascii_alphanumeric() || next == '_')
            .to_owned();
        let member = match self.rest().strip_prefix('.') {
            None => None,
            Some(after) => {
                self.at += 1;
                Some(if after.starts_with(is_quote) {
                    match self.string()? {
                        (text, Tail::Nothing) => text,
                        (_, Tail::Any) => return Err(FilterError::StrayStar { at: self.at }),
                    }
                } else {
                    self.run(is_of_key).to_owned()
                })
            }
        };
        if member.as_deref() == Some("") {
            return Err(self.unexpected(Expected::Key));
        }
        Ok(Field { name, member, at })
    }

    fn argument(&mut self) -> Read<Argument> {
        let at = self.at;
        if self.rest().starts_with(is_quote) {
            let (text, tail) = self.string()?;
            return Ok(Argument { text, tail, at });
        }
        let word = self.run(is_of_word);
        if word.is_empty() {
            return Err(self.unexpected(Expected::Argument));
        }
        let (text, tail) = match word.strip_suffix('*') {
            Some(text) => (text, Tail::Any),
            None => (word, Tail::Nothing),
        };
        if let Some(star) = text.find('*') {
            return Err(FilterError::StrayStar { at: at + star });
        }
        Ok(Argument {
            text: text.to_owned(),
            tail,
            at,
        })
    }

    /// A text in quotes of either kind. A backslash makes the character after it an ordinary one.
    fn string(&mut self) -> Read<(String, Tail)> {
        let open = self.at;
        let mut characters = self.rest().char_indices();
        let quote = characters.next().map_or('"', |(_, quote)| quote);
        let mut text = String::new();
        let mut star = None;
        while let Some((place, next)) = characters.next() {
            if next == quote {
                self.at = open + place + next.len_utf8();
                let tail = if star.is_some() {
                    Tail::Any
                } else {
                    Tail::Nothing
                };
                return Ok((text, tail));
            }
            if let Some(at) = star {
                return Err(FilterError::StrayStar { at });
            }
            match next {
                '*' => star = Some(open + place),
                '\\' => match characters.next() {
                    Some((_, escaped)) => text.push(escaped),
                    None => break,
                },
                next => text.push(next),
            }
        }
        Err(FilterError::OpenString { at: open })
    }
}

fn one_or(mut parts: Vec<Expression>, join: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

const fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'')
}

/// What the key of a label consists of.
pub(crate) const fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '/')
}

fn is_of_word(character: char) -> bool {
    let ends = matches!(
        character,
        '(' | ')' | '"' | '\'' | '=' | '<' | '>' | '!' | ','
    );
    !ends && !character.is_whitespace()
}
