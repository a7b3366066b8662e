use proptest::prelude::*;

use super::*;

const MODES: [Mode; 4] = [Mode::None, Mode::Base, Mode::MergeSlashes, Mode::DecodeAndMergeSlashes];

fn normal(path: &str, mode: Mode) -> String {
    String::from_utf8(normalize_path(path.as_bytes(), mode).unwrap().into_owned()).unwrap()
}

#[test]
fn each_mode_has_its_form() {
    for (path, base, merged, decoded) in [
        ("/a/b", "/a/b", "/a/b", "/a/b"),
        ("/a/./b", "/a/b", "/a/b", "/a/b"),
        ("/a/../b", "/b", "/b", "/b"),
        ("/a/b/..", "/a/", "/a/", "/a/"),
        ("/a/.", "/a/", "/a/", "/a/"),
        ("/../../a", "/a", "/a", "/a"),
        ("/a/%2e%2E/b", "/b", "/b", "/b"),
        ("/%61%7e", "/a~", "/a~", "/a~"),
        ("/%e9%2a", "/%E9%2A", "/%E9%2A", "/%E9%2A"),
        ("/%252e%252e/b", "/%252e%252e/b", "/%252e%252e/b", "/%252e%252e/b"),
        (r"/a\..\b", "/b", "/b", "/b"),
        (r"\a", "/a", "/a", "/a"),
        ("//a///b", "//a///b", "/a/b", "/a/b"),
        ("/a//", "/a//", "/a/", "/a/"),
        ("/a%2fb", "/a%2Fb", "/a%2Fb", "/a/b"),
        ("/a%5cb", "/a%5Cb", "/a%5Cb", "/a/b"),
        ("/a%2f..%2fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/b"),
        ("/a/..;x/b", "/a/..;x/b", "/a/..;x/b", "/b"),
        ("/a/.;/b", "/a/.;/b", "/a/.;/b", "/a/b"),
        ("/a;x=1/b", "/a;x=1/b", "/a;x=1/b", "/a;x=1/b"),
        ("/a..b/...", "/a..b/...", "/a..b/...", "/a..b/..."),
        ("/", "/", "/", "/"),
        ("/..", "/", "/", "/"),
    ] {
        assert_eq!(normal(path, Mode::Base), base, "{path} base");
        assert_eq!(normal(path, Mode::MergeSlashes), merged, "{path} merged");
        assert_eq!(normal(path, Mode::DecodeAndMergeSlashes), decoded, "{path} decoded");
        if path.starts_with('/') {
            assert_eq!(normal(path, Mode::None), path, "{path} none");
        }
    }
}

#[test]
fn what_has_no_one_form_is_refused() {
    use Malformed::{Byte, Escape, NotRooted, Nul};
    for (path, expected) in [
        ("/a%", Escape),
        ("/a%2", Escape),
        ("/a%zz", Escape),
        ("/a%00", Nul),
        ("/a\0", Nul),
        ("/a#b", Byte),
        ("/a b", Byte),
        ("/a\tb", Byte),
        ("/a\r\nb", Byte),
        ("/a\x7f", Byte),
        ("/a?b", Byte),
        ("a", NotRooted),
        ("http://a/b", NotRooted),
        ("%2fa", NotRooted),
    ] {
        for mode in [Mode::Base, Mode::MergeSlashes, Mode::DecodeAndMergeSlashes] {
            assert_eq!(normalize_path(path.as_bytes(), mode), Err(expected), "{path:?} {mode:?}");
        }
    }
    assert_eq!(normalize_path(b"/a%00", Mode::None), Err(Nul));
    assert_eq!(normalize_path(b"/a#b", Mode::None), Err(Byte));
}

#[test]
fn a_normal_path_is_not_copied() {
    for path in ["*", "", "/", "/a/b.c", "/a;x/b", "/caf\u{e9}"] {
        let found = normalize_path(path.as_bytes(), Mode::DecodeAndMergeSlashes).unwrap();
        assert!(matches!(found, Cow::Borrowed(_)), "{path}");
    }
}

proptest! {
    #[test]
    fn a_second_time_changes_nothing(path in "/([a./\\\\;]|%2e|%2F|%5c|%41|%25){0,10}") {
        for mode in MODES {
            if let Ok(once) = normalize_path(path.as_bytes(), mode) {
                let twice = normalize_path(&once, mode);
                prop_assert_eq!(twice.as_deref(), Ok(&*once), "{:?}", mode);
            }
        }
    }

    #[test]
    fn no_form_leaves_the_root(path in "/([a./\\\\;]|%2e|%2F){0,12}") {
        let found = normal(&path, Mode::DecodeAndMergeSlashes);
        prop_assert!(found.starts_with('/') && !found.contains("//"));
        let mut names = found.split('/').map(|segment| segment.split(';').next());
        let climbs = names.any(|name| matches!(name, Some("." | "..")));
        prop_assert!(!climbs, "{}", found);
    }
}
