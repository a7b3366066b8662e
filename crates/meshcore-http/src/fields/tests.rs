#![expect(clippy::arithmetic_side_effects, reason = "sums of test data are small")]

use proptest::prelude::*;

use super::*;

fn table(fields: &[(&str, &str)]) -> Fields {
    let mut table = Fields::new();
    for (name, value) in fields {
        table.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    table
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|(name, value, _)| (text(name), text(value))).collect()
}

#[test]
fn names_are_found_in_any_case_and_order_is_kept() {
    let fields = table(&[("Server", "a"), ("X-One", "1"), ("x-one", "2"), ("SERVER", "b")]);
    assert_eq!(fields.get(Known::Server), Some(&b"a"[..]));
    assert_eq!(fields.get_named(b"server"), Some(&b"a"[..]));
    assert_eq!(fields.get_named(b"x-one"), Some(&b"1"[..]));
    assert_eq!(fields.get_named(b"x-two"), None);
    assert_eq!(fields.get(Known::Date), None);
    assert_eq!(fields.values(Known::Server).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(fields.values_named(b"x-one").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!((fields.count(Known::Server), fields.len()), (2, 4));
    assert_eq!(fields.iter().next(), Some((&b"Server"[..], &b"a"[..], Known::Server)));
}

#[test]
fn set_replaces_all_in_the_place_of_the_first() {
    for value in ["same!", "a longer value", ""] {
        let mut fields = table(&[("a", "0"), ("Via", "12345"), ("b", "0"), ("via", "2")]);
        fields.set(b"VIA", value.as_bytes()).unwrap();
        let values: Vec<String> = listed(&fields).into_iter().map(|field| field.1).collect();
        assert_eq!(values, ["0", value, "0"], "{value:?}");
        assert_eq!(fields.count(Known::Via), 1);
    }
    let mut fields = Fields::new();
    fields.set(b"new", b"1").unwrap();
    assert_eq!(fields.get_named(b"new"), Some(&b"1"[..]));
}

#[test]
fn remove_takes_all_of_a_name() {
    let mut fields = table(&[("a", "1"), ("Date", "2"), ("A", "3"), ("date", "4")]);
    assert_eq!(fields.remove(Known::Date), 2);
    assert_eq!(fields.remove(Known::Date), 0);
    assert!(!fields.known().contains(Known::Date));
    assert_eq!(fields.remove_named(b"a"), 2);
    assert_eq!(fields.remove_named(b"a"), 0);
    assert!(fields.is_empty());
    assert_eq!(fields.wire_len(), 0);
    let mut fields = table(&[("date", "1"), ("x", "2")]);
    assert_eq!(fields.remove(Known::Other), 0, "Other is no name");
    assert_eq!(fields.remove_named(b"DATE"), 1);
    assert_eq!(fields.len(), 1);
}

#[test]
fn what_cannot_stand_in_a_field_changes_nothing() {
    let mut fields = table(&[("a", "1"), ("date", "2")]);
    for (name, value, error) in [
        (&b""[..], &b"x"[..], InvalidField::Name),
        (b"a b", b"x", InvalidField::Name),
        (b"a:", b"x", InvalidField::Name),
        (b":path", b"x", InvalidField::Name),
        (b"a\r\n", b"x", InvalidField::Name),
        (b"\xc3\xbc", b"x", InvalidField::Name),
        (b"date", b"x\r\ny: z", InvalidField::Value),
        (b"date", b"x\ny", InvalidField::Value),
        (b"date", b"\0", InvalidField::Value),
        (b"date", b"\x7f", InvalidField::Value),
        (&vec![b'a'; 65_536], b"x", InvalidField::TooLarge),
    ] {
        assert_eq!(fields.append(name, value), Err(error));
        assert_eq!(fields.set(name, value), Err(error));
        assert_eq!(fields, table(&[("a", "1"), ("date", "2")]), "{}", name.escape_ascii());
    }
}

#[test]
fn blanks_around_a_value_are_left_out() {
    let mut fields = table(&[("a", " \t1 \t")]);
    assert_eq!(fields.get_named(b"a"), Some(&b"1"[..]));
    fields.set(b"a", b" 2\t").unwrap();
    assert_eq!(fields.whole(), Some(&b"a: 2\r\n"[..]));
}

#[test]
fn memory_does_not_grow_with_the_number_of_edits() {
    let mut fields = table(&[("a", "1"), ("b", "2")]);
    for turn in 0..10_000 {
        fields.set(b"a", "x".repeat(turn % 50).as_bytes()).unwrap();
    }
    assert!(fields.buffer().len() < 10_000, "{} bytes for two fields", fields.buffer().len());
    assert_eq!(fields.get_named(b"b"), Some(&b"2"[..]));
}

#[test]
fn clearing_keeps_memory_but_not_too_much() {
    let mut fields = table(&[("a", &"x".repeat(1000))]);
    fields.clear();
    assert!(fields.is_empty() && fields.get_named(b"a").is_none());
    assert!(fields.bytes.capacity() >= 1000);
    fields.append(b"a", "x".repeat(100_000).as_bytes()).unwrap();
    fields.clear();
    assert!(fields.bytes.capacity() <= KEPT_BYTES);
}

/// Edits by number: which, on which name, with a value of which length.
fn edits() -> impl Strategy<Value = Vec<(u8, usize, usize)>> {
    proptest::collection::vec((0_u8..4, 0_usize..4, 0_usize..30), 0..60)
}

const NAMES: [&str; 4] = ["x-a", "server", "x-b", "cookie"];

proptest! {
    #[test]
    fn edits_do_what_they_do_to_a_list(edits in edits()) {
        let (mut fields, mut model) = (Fields::new(), Vec::<(String, String)>::new());
        for (edit, name, len) in edits {
            let (name, value) = (NAMES[name], "v".repeat(len));
            let field = (name.to_owned(), value.clone());
            let first = model.iter().position(|field| field.0 == name);
            match (edit, first) {
                (0, _) | (1, None) => model.push(field),
                (1, Some(first)) => {
                    model[first] = field;
                    let mut index = 0;
                    model.retain(|field| {
                        index += 1;
                        index - 1 <= first || field.0 != name
                    });
                }
                _ => model.retain(|field| field.0 != name),
            }
            match edit {
                0 => fields.append(name.as_bytes(), value.as_bytes()).unwrap(),
                1 => fields.set(name.as_bytes(), value.as_bytes()).unwrap(),
                2 => drop(fields.remove_named(name.as_bytes())),
                _ if Known::find(name.as_bytes()) == Known::Other => {
                    fields.remove_named(name.as_bytes());
                }
                _ => drop(fields.remove(Known::find(name.as_bytes()))),
            }
            prop_assert_eq!(listed(&fields), model.clone());
            let wire: usize = model.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
            prop_assert_eq!(fields.wire_len(), wire);
            for name in NAMES {
                let found = fields.get_named(name.as_bytes()).map(<[u8]>::len);
                prop_assert_eq!(found, model.iter().find(|f| f.0 == name).map(|f| f.1.len()));
            }
        }
    }
}
