//! A resource as it is kept: read, and encoded once for all who get it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use meshcore_model::Resource;

use crate::wire;

/// Name of a resource, unique in the mesh.
pub(crate) type Name = Arc<str>;

/// A resource, its JSON, and the version of that.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) version: Version,
    pub(crate) bytes: Bytes,
    pub(crate) resource: Arc<Resource>,
    /// Found by its name alone: a workload that takes no traffic now.
    pub(crate) is_withdrawn: bool,
}

/// The first half of the SHA-256 of a value: the same wherever and whenever it is made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Version([u8; 16]);

impl Stored {
    /// Encodes a resource.
    ///
    /// # Errors
    ///
    /// Those of JSON.
    pub(crate) fn new(resource: Resource) -> Result<Self, serde_json::Error> {
        let bytes = Bytes::from(serde_json::to_vec(&resource)?);
        Ok(Self {
            version: Version::of(&bytes),
            bytes,
            resource: Arc::new(resource),
            is_withdrawn: false,
        })
    }

    /// Reads a resource, and writes it in its one spelling.
    ///
    /// # Errors
    ///
    /// Those of JSON.
    pub(crate) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::new(serde_json::from_slice(json)?)
    }

    /// The list of names that a key stands for.
    pub(crate) fn found<'a>(names: impl IntoIterator<Item = &'a Name>) -> Self {
        let names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
        let bytes = Bytes::from(serde_json::json!({ "found": names }).to_string());
        Self {
            version: Version::of(&bytes),
            bytes,
            resource: Arc::new(Resource::Found(names)),
            is_withdrawn: false,
        }
    }

    /// The resource as it travels.
    pub(crate) fn to_wire(&self, name: &str) -> wire::Resource {
        let value = wire::Any { type_url: wire::RESOURCE.into(), value: self.bytes.clone() };
        wire::Resource {
            version: self.version.to_string(),
            resource: Some(value),
            name: name.to_owned(),
        }
    }
}

impl Version {
    fn of(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        let hash = digest(&SHA256, bytes);
        half.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(half)
    }

    /// Reads what a client says it has; `None` is a version that nothing of ours has.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_ours)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_follows_the_value_alone() {
        let spaced = Stored::read(br#"{ "found" : ["a"] }"#).unwrap();
        let plain = Stored::new(Resource::Found(vec!["a".into()])).unwrap();
        assert_eq!(spaced.version, plain.version);
        assert_ne!(spaced.version, Stored::read(br#"{"found":[]}"#).unwrap().version);
        assert_eq!(Version::parse(&plain.version.to_string()), Some(plain.version));
    }

    #[test]
    fn what_is_no_version_of_ours_is_none() {
        for text in ["", "1", "+0000000000000000000000000000001", "zz", &"0".repeat(33)] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
