//! Paths: what policy sees is what is forwarded.

use meshcore_http::h1::{BodyKind, write_request};
use meshcore_http::{RequestHead, Scheme};
use meshcore_model::PathNormalization as Mode;
use meshcore_policy::normalize_path;

use crate::strict;

/// The form of a path is stable, has nothing left that another server would still resolve, and
/// is what goes to the upstream, with the query as it was.
pub(crate) fn run(data: &[u8]) {
    let mut head = RequestHead::new();
    head.set_scheme(Scheme::Http);
    head.set_authority(b"a").expect("a host");
    if head.set_target(data).is_err() {
        return; // never gets as far as a path
    }
    let query = head.query().map(<[u8]>::to_vec);
    let path = head.path().to_vec();
    for mode in [Mode::None, Mode::Base, Mode::MergeSlashes, Mode::DecodeAndMergeSlashes] {
        let Ok(normal) = normalize_path(&path, mode) else { continue };
        let twice = normalize_path(&normal, mode);
        assert_eq!(twice.as_deref(), Ok(&*normal), "{mode:?} is not stable");
        if path == b"*" {
            continue;
        }
        assert_eq!(normal.first(), Some(&b'/'), "{mode:?} has no root");
        if mode != Mode::None {
            assert_eq!(*normal, *by_the_book(&path, mode), "{mode:?} of {}", path.escape_ascii());
            is_resolved(&normal, mode);
        }
        is_forwarded(&normal, query.as_deref());
    }
}

fn is_forwarded(normal: &[u8], query: Option<&[u8]>) {
    let mut target = normal.to_vec();
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let mut head = RequestHead::new();
    head.set_authority(b"a").expect("a host");
    head.set_target(&target).expect("a path in normal form is a target");
    assert_eq!((head.path(), head.query()), (normal, query), "what policy sees");
    let mut wire = Vec::new();
    write_request(&head, BodyKind::None, &mut wire);
    let (message, _rest) = strict::request(&wire).expect("one request");
    assert_eq!(message.line[1], target, "what is forwarded");
}

fn is_resolved(normal: &[u8], mode: Mode) {
    assert!(!normal.contains(&b'\\'));
    for segment in normal[1..].split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let climbs = |name: &[u8]| matches!(name, b"." | b"..");
        assert!(!climbs(segment), "dots are left");
        if mode == Mode::DecodeAndMergeSlashes {
            assert!(!climbs(name), "dots with parameters are left");
        }
    }
    if mode != Mode::Base {
        assert!(!normal.windows(2).any(|two| two == b"//"), "slashes are left");
    }
    for three in normal.windows(3).filter(|three| three[0] == b'%') {
        assert!(!three[1..].iter().any(u8::is_ascii_lowercase), "an escape in small letters");
        let is_slash = matches!(three, b"%2F" | b"%5C");
        assert!(!(is_slash && mode == Mode::DecodeAndMergeSlashes), "an escaped slash is left");
        assert!(!matches!(three, b"%2E" | b"%41" | b"%00"), "an escape that needs none");
    }
}

/// RFC 3986 section 5.2.4, as it is written there, after what each mode does first.
fn by_the_book(path: &[u8], mode: Mode) -> Vec<u8> {
    let strict = mode == Mode::DecodeAndMergeSlashes;
    let mut text = String::from_utf8(path.to_vec()).expect("a target is ASCII");
    for value in (1..=255_u8).filter(|value| *value != b'%') {
        let is_plain = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        let written = format!("%{value:02X}");
        let stands = match char::from(value) {
            '/' | '\\' if strict => "/".to_owned(),
            char if is_plain => char.to_string(),
            _ => written.clone(),
        };
        text = replace_escapes(&text, value, &stands);
    }
    let mut text = text.replace('\\', "/");
    while mode != Mode::Base && text.contains("//") {
        text = text.replace("//", "/");
    }
    let mut output: Vec<&str> = Vec::new();
    let mut input = text.as_str();
    while !input.is_empty() {
        let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
        let (segment, rest) = input.split_at(end);
        let name = if strict { segment.split(';').next().unwrap_or(segment) } else { segment };
        if matches!(name, "/." | "/..") {
            if name == "/.." {
                output.pop();
            }
            if rest.is_empty() {
                output.push("/");
            }
        } else {
            output.push(segment);
        }
        input = rest;
    }
    output.concat().into_bytes()
}

/// Puts `stands` where `value` is escaped, in letters of either case. Escapes do not overlap: a
/// percent sign that was escaped itself begins none.
fn replace_escapes(text: &str, value: u8, stands: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let is_it = escape.get(1..3).and_then(|two| u8::from_str_radix(two, 16).ok());
        let taken = if is_it.is_some() { 3 } else { 1 };
        out.push_str(if is_it == Some(value) { stands } else { &escape[..taken] });
        rest = &escape[taken..];
    }
    out + rest
}
