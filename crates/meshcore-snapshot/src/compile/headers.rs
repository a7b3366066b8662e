//! Changes to header fields.

use meshcore_model::HeaderEdits as Wanted;

use crate::authority::Authority;
use crate::rejected::Reason;
use crate::rule::{Field, HeaderEdits};

/// Compiles changes. A `host` or `:authority` that is set is a new authority; Istio ignores
/// other pseudo-headers and a `host` that is removed.
pub(super) fn edits(wanted: &Wanted) -> Result<HeaderEdits, (String, Reason)> {
    let mut authority = None;
    let mut fields = |list: &[(String, String)], name: &str| {
        let mut fields: Vec<Field> = Vec::with_capacity(list.len());
        for (key, value) in list {
            let key = key.to_ascii_lowercase();
            let at = || format!("{name}[{key:?}]");
            if key == "host" || key == ":authority" {
                self::authority(value).map_err(|reason| (at(), reason))?;
                authority = authority.take().or(Some(value.as_bytes().into()));
            } else if !key.starts_with(':') {
                check_name(&key).map_err(|reason| (at(), reason))?;
                check_value(value).map_err(|reason| (at(), reason))?;
                fields.push((key.into_bytes().into(), value.as_bytes().into()));
            }
        }
        Ok::<Box<[Field]>, (String, Reason)>(fields.into())
    };
    let set = fields(&wanted.set, "set")?;
    let add = fields(&wanted.add, "add")?;
    let mut remove = Vec::with_capacity(wanted.remove.len());
    for key in wanted.remove.iter().map(|key| key.to_ascii_lowercase()) {
        if key != "host" && !key.starts_with(':') {
            check_name(&key).map_err(|reason| (format!("remove[{key:?}]"), reason))?;
            remove.push(key.into_bytes().into());
        }
    }
    Ok(HeaderEdits { set, add, remove: remove.into(), authority })
}

/// Source: RFC 9110 section 5.6.2 (`token`). Fields that frame a message are not for editing.
fn check_name(name: &str) -> Result<(), Reason> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("this is not the name of a header field".to_owned());
    }
    match name {
        "content-length" | "transfer-encoding" | "connection" | "upgrade" | "te" | "keep-alive" => {
            Err("this field frames the message and cannot be changed".to_owned())
        }
        _ => Ok(()),
    }
}

/// Source: RFC 9110 section 5.5 (`field-value`).
pub(super) fn check_value(value: &str) -> Result<(), Reason> {
    let is_plain = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if value.bytes().all(is_plain) && value.trim_matches([' ', '\t']) == value {
        return Ok(());
    }
    Err("the value has control characters, or spaces around it".to_owned())
}

/// Whether the field is the authority, which is compared in lower case.
pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// An authority that is sent in place of the client's.
pub(super) fn authority(value: &str) -> Result<(), Reason> {
    match Authority::parse(value.as_bytes()) {
        Some(_) => Ok(()),
        None => Err(format!("{value:?} is not host[:port]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn names_are_lower_case_and_the_host_is_apart() {
        let compiled = edits(&Wanted {
            set: pairs(&[("X-A", "1"), ("Host", "b.example"), (":path", "/x")]),
            add: pairs(&[(":authority", "c.example")]),
            remove: vec!["X-B".into(), "Host".into(), ":method".into()],
        })
        .unwrap();
        assert_eq!(*compiled.set, [(b"x-a"[..].into(), b"1"[..].into())]);
        assert!(compiled.add.is_empty());
        assert_eq!(*compiled.remove, [b"x-b"[..].into()]);
        assert_eq!(compiled.authority.as_deref(), Some(&b"b.example"[..]), "set wins over add");
        assert!(edits(&Wanted::default()).unwrap().is_empty());
    }

    #[test]
    fn what_would_break_the_message_is_refused() {
        for (key, value) in [
            ("a b", "1"),
            ("", "1"),
            ("a:", "1"),
            ("x", "a\r\nb: c"),
            ("x", "a\0"),
            ("x", " a"),
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("host", "a/b"),
        ] {
            let wanted = Wanted { set: pairs(&[(key, value)]), ..Wanted::default() };
            assert!(edits(&wanted).is_err(), "{key:?}: {value:?}");
        }
    }
}
