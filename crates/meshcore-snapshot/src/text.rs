//! Matches on text, compiled. They look at bytes, whatever these are, and so always decide.

use meshcore_model::StringMatch;
use regex::bytes::{Regex, RegexBuilder};

use crate::map::Set;
use crate::rejected::Reason;

/// Memory that one expression may take compiled, in bytes. Source: twice what the largest
/// expressions of Istio's documentation take; a larger one is refused with its document.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A match on one value.
#[derive(Debug, Clone)]
pub enum Text {
    /// The whole value.
    Exact(Box<[u8]>),
    /// The value begins with this.
    Prefix(Box<[u8]>),
    /// The value ends with this.
    Suffix(Box<[u8]>),
    /// The whole value matches.
    Regex(Box<Regex>),
    /// There is a value, and it is not empty.
    Present,
}

impl Text {
    /// Compiles a match; with `fold`, of a value that is compared in lower case.
    ///
    /// # Errors
    ///
    /// Why the expression or the template cannot be compiled.
    pub(crate) fn compile(text: &StringMatch, fold: bool) -> Result<Self, Reason> {
        let bytes = |text: &String| -> Box<[u8]> {
            if fold {
                text.to_ascii_lowercase().into_bytes().into()
            } else {
                text.as_bytes().into()
            }
        };
        Ok(match text {
            StringMatch::Exact(text) => Self::Exact(bytes(text)),
            StringMatch::Prefix(text) => Self::Prefix(bytes(text)),
            StringMatch::Suffix(text) => Self::Suffix(bytes(text)),
            StringMatch::Regex(text) => Self::Regex(Box::new(full_match(text, fold)?)),
            StringMatch::Present => Self::Present,
            StringMatch::Template(text) => {
                Self::Regex(Box::new(full_match(&template_to_regex(text)?, fold)?))
            }
        })
    }

    /// Whether the value matches.
    pub fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(text),
            Self::Suffix(text) => value.ends_with(text),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => !value.is_empty(),
        }
    }
}

/// An expression that must match the whole of a value. Source: Envoy's `safe_regex`.
pub(crate) fn full_match(pattern: &str, fold: bool) -> Result<Regex, Reason> {
    // The text alone must be a whole expression: `a)|(b` would otherwise escape the group.
    build(pattern, fold)?;
    build(&anchored(pattern), fold)
}

/// `pattern`, held to both ends of the value.
pub(crate) fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

/// Bytes are matched one by one where the expression allows it (`.` is any byte but a newline),
/// and as UTF-8 where it names classes of characters.
pub(crate) fn build(pattern: &str, fold: bool) -> Result<Regex, Reason> {
    let with = |unicode: bool| {
        RegexBuilder::new(pattern)
            .unicode(unicode)
            .case_insensitive(fold)
            .size_limit(MAX_REGEX_BYTES)
            .build()
    };
    with(false)
        .or_else(|_| with(true))
        .map_err(|error| format!("{pattern:?} is not an expression that can be used: {error}"))
}

/// Source: Istio's path templates: `{*}` is one segment, `{**}` any number of them.
fn template_to_regex(template: &str) -> Result<String, Reason> {
    let mut pattern = String::from("(?s)");
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, found) = rest.split_at(at);
        pattern.push_str(&regex::escape(literal));
        if let Some(after) = found.strip_prefix("{**}") {
            pattern.push_str(".*");
            rest = after;
        } else if let Some(after) = found.strip_prefix("{*}") {
            pattern.push_str("[^/]+");
            rest = after;
        } else {
            return Err(format!("{template:?} may only have {{*}} and {{**}} between braces"));
        }
    }
    pattern.push_str(&regex::escape(rest));
    Ok(pattern)
}

/// Any of several matches on one value; the exact ones cost one look-up together.
#[derive(Debug, Clone, Default)]
pub struct TextSet {
    few: Vec<Box<[u8]>>,
    many: Set<Box<[u8]>>,
    others: Vec<Text>,
}

/// Up to so many exact values are compared one by one, which is faster than hashing.
const FEW: usize = 6;

impl TextSet {
    /// Any of these.
    pub(crate) fn new(texts: impl IntoIterator<Item = Text>) -> Self {
        let mut set = Self::default();
        for text in texts {
            match text {
                Text::Exact(value) => set.few.push(value),
                other @ (Text::Prefix(_) | Text::Suffix(_) | Text::Regex(_) | Text::Present) => {
                    set.others.push(other);
                }
            }
        }
        if set.few.len() > FEW {
            set.many = std::mem::take(&mut set.few).into_iter().collect();
        }
        set
    }

    /// Whether the value is matched by any.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.few.iter().any(|text| &**text == value)
            || (!self.many.is_empty() && self.many.contains(value))
            || self.others.iter().any(|text| text.is_match(value))
    }

    /// Whether there is nothing to be matched by.
    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty() && self.others.is_empty()
    }
}

/// What the value of a header field or a query parameter must be.
#[derive(Debug, Clone)]
pub struct ValuePredicate {
    /// Name; of a header field in lower case.
    pub name: Box<str>,
    /// Match on the value; `None` takes any, even an empty one.
    pub value: Option<Text>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "shorter tables")]
    fn text(text: StringMatch) -> Text {
        Text::compile(&text, false).unwrap()
    }

    #[test]
    fn each_form_looks_at_bytes() {
        let exact = text(StringMatch::Exact("a.b".into()));
        assert!(exact.is_match(b"a.b") && !exact.is_match(b"axb") && !exact.is_match(b"A.B"));
        let prefix = text(StringMatch::Prefix("/a".into()));
        assert!(prefix.is_match(b"/a\xff") && !prefix.is_match(b"/b"));
        let suffix = text(StringMatch::Suffix(".b".into()));
        assert!(suffix.is_match(b"a.b") && !suffix.is_match(b"a.bc"));
        assert!(text(StringMatch::Present).is_match(b"\0"));
        assert!(!text(StringMatch::Present).is_match(b""));
    }

    #[test]
    fn a_regex_matches_the_whole_value() {
        let regex = text(StringMatch::Regex("a|bc".into()));
        for (value, expected) in [(&b"a"[..], true), (b"bc", true), (b"ac", false), (b"abc", false)]
        {
            assert_eq!(regex.is_match(value), expected, "{value:?}");
        }
        let any = text(StringMatch::Regex("/x.*".into()));
        assert!(any.is_match(b"/x\xff\xfe"), "bytes that are not UTF-8 do not slip past");
        assert!(text(StringMatch::Regex(r"\pL+".into())).is_match("é".as_bytes()));
        for wrong in ["(", "a)|(b", "*", r"(?P<"] {
            assert!(Text::compile(&StringMatch::Regex(wrong.into()), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn templates() {
        let matches = |template: &str, value: &str| {
            text(StringMatch::Template(template.into())).is_match(value.as_bytes())
        };
        for (template, value, expected) in [
            ("/a/{*}/c", "/a/b/c", true),
            ("/a/{*}/c", "/a/b/b/c", false),
            ("/a/{*}/c", "/a//c", false),
            ("/a/{**}", "/a/b/c", true),
            ("/a/{**}", "/a/", true),
            ("/a/{**}/z", "/a/b/c/z", true),
            ("/a.b/{*}", "/axb/c", false),
            ("/{*}", "/b\n", true),
        ] {
            assert_eq!(matches(template, value), expected, "{template} {value}");
        }
        for wrong in ["/{a}", "/{", "/}", "/{***}"] {
            assert!(Text::compile(&StringMatch::Template(wrong.into()), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_set_is_any_of_its_texts() {
        let exacts = (0..20).map(|i| StringMatch::Exact(format!("v{i}")));
        let all = exacts.chain([StringMatch::Prefix("pre".into())]);
        let set = TextSet::new(all.map(text));
        assert!(set.is_match(b"v7") && set.is_match(b"prefix"));
        assert!(!set.is_match(b"v20") && !set.is_match(b"pr"));
        assert!(TextSet::default().is_empty() && !TextSet::default().is_match(b""));
    }
}
