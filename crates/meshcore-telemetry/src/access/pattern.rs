//! Patterns of literals and `%OPERATORS%`.

use std::error::Error;
use std::fmt;

use super::clock::TimeFormat;
use super::operator::{Name, Operator, Simple};

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Operator {
        operator: Operator,
        /// Most bytes of the value, before it is escaped.
        limit: Option<usize>,
    },
}

/// A pattern is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access log format, column {}: {}", self.column, self.problem)
    }
}

impl Error for PatternError {}

/// Reads a pattern.
pub(super) fn parse(pattern: &str) -> Result<Vec<Piece>, PatternError> {
    let mut reader = Reader { pattern, at: 0 };
    let mut pieces = Vec::new();
    let mut literal = String::new();
    while let Some(char) = reader.next() {
        if char != '%' || reader.take('%') {
            literal.push(char);
            continue;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(reader.operator()?);
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

struct Reader<'a> {
    pattern: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest().chars().next()?;
        self.at = self.at.saturating_add(char.len_utf8());
        Some(char)
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.rest().starts_with(wanted);
        if is_there {
            self.at = self.at.saturating_add(wanted.len_utf8());
        }
        is_there
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> PatternError {
        let before = self.pattern.get(..at).unwrap_or(self.pattern);
        PatternError { column: before.chars().count().saturating_add(1), problem: problem.into() }
    }

    /// Reads what follows the opening percent sign, with the closing one.
    fn operator(&mut self) -> Result<Piece, PatternError> {
        let start = self.at.saturating_sub(1);
        let name = self.take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if name.is_empty() {
            let problem = "an operator in capitals must follow the percent sign; write %% for the sign itself";
            return Err(self.error(start, problem));
        }
        let arguments = if self.take('(') {
            let at = self.at;
            let text = self.take_while(|c| c != ')');
            if !self.take(')') {
                return Err(self.error(start, format!("%{name}( is not closed; add )%")));
            }
            Some((at, text))
        } else {
            None
        };
        let operator = self.understand(start, name, arguments)?;
        let limit = if self.take(':') { Some(self.limit(name)?) } else { None };
        if !self.take('%') {
            return Err(self.error(start, format!("%{name} is not closed; end it with %")));
        }
        Ok(Piece::Operator { operator, limit })
    }

    fn limit(&mut self, name: &str) -> Result<usize, PatternError> {
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        let problem = || format!("%{name} has a length that is not a number above 0");
        digits.parse().ok().filter(|n| *n > 0).ok_or_else(|| self.error(at, problem()))
    }

    fn understand(
        &self,
        start: usize,
        name: &str,
        arguments: Option<(usize, &str)>,
    ) -> Result<Operator, PatternError> {
        if name == "START_TIME" {
            let Some((at, text)) = arguments.filter(|(_, text)| !text.is_empty()) else {
                return Ok(Operator::StartTime(TimeFormat::default()));
            };
            let format = TimeFormat::parse(text)
                .map_err(|(offset, problem)| self.error(at.saturating_add(offset), problem))?;
            return Ok(Operator::StartTime(format));
        }
        if let Some(simple) = Simple::named(name) {
            return match arguments {
                None => Ok(Operator::Simple(simple)),
                Some((at, _)) => Err(self.error(at, format!("%{name}% takes no arguments"))),
            };
        }
        if !matches!(name, "REQ" | "REQ_WITHOUT_QUERY" | "RESP" | "TRAILER") {
            return Err(self.error(start, format!("%{name}% is not a known operator")));
        }
        let Some((at, text)) = arguments else {
            return Err(self.error(start, format!("%{name}% needs a header; write %{name}(NAME)%")));
        };
        self.header(at, name, text)
    }

    fn header(&self, at: usize, operator: &str, text: &str) -> Result<Operator, PatternError> {
        let (name, or) = match text.split_once('?') {
            Some((name, or)) => (name, Some(or)),
            None => (text, None),
        };
        let is_name = |name: &&str| {
            let field = name.strip_prefix(':').unwrap_or(name);
            !field.is_empty()
                && field
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&b))
        };
        if !is_name(&name) || !or.as_ref().is_none_or(is_name) {
            let problem = format!(
                "{text:?} is not a header; write %{operator}(NAME)% or %{operator}(NAME?OTHER)%"
            );
            return Err(self.error(at, problem));
        }
        let unknown =
            || self.error(at, format!("{text:?} names a pseudo header that does not exist"));
        if matches!(operator, "REQ" | "REQ_WITHOUT_QUERY") {
            let name = Name::named(name).ok_or_else(unknown)?;
            let or = or.map(|or| Name::named(or).ok_or_else(unknown)).transpose()?;
            return Ok(Operator::Request { name, or, has_query: operator == "REQ" });
        }
        if text.contains(':') {
            return Err(unknown());
        }
        let lower = |name: &str| Box::from(name.to_ascii_lowercase());
        let (name, or) = (lower(name), or.map(lower));
        Ok(if operator == "RESP" {
            Operator::Response { name, or }
        } else {
            Operator::Trailer { name, or }
        })
    }
}
