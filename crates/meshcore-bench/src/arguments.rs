//! `--name value` pairs.

use std::collections::HashMap;
use std::str::FromStr;

use crate::Failure;

/// Arguments of a command line: words in their order, and options by name.
#[derive(Debug)]
pub struct Arguments {
    words: Vec<String>,
    options: HashMap<String, String>,
}

impl Arguments {
    /// Those of this program.
    ///
    /// # Errors
    ///
    /// An option has no value.
    pub fn read() -> Result<Self, Failure> {
        let (mut words, mut options) = (Vec::new(), HashMap::new());
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if let Some(name) = argument.strip_prefix("--") {
                let value = arguments.next().ok_or_else(|| format!("--{name} has no value"))?;
                options.insert(name.to_owned(), value);
            } else {
                words.push(argument);
            }
        }
        Ok(Self { words, options })
    }

    /// The word at this place, or an empty one.
    pub fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }

    /// An option that may be left out.
    ///
    /// # Errors
    ///
    /// It is not what is wanted.
    pub fn option<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.options.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_bad| format!("--{name} cannot be {text:?}").into())
    }

    /// An option that must be there.
    ///
    /// # Errors
    ///
    /// It is not, or is not what is wanted.
    pub fn needed<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.option(name)?.ok_or_else(|| format!("--{name} is missing").into())
    }
}
