use serde_json::{Value, json};

use super::*;
use crate::route::select_route;
use crate::scene::{Message, route, snapshot, vhost};

/// What becomes of the path under a rule with this match and rewrite.
fn rewritten(wanted: Value, rewrite: Value, path: &str) -> Option<String> {
    let rule = json!({"matches": [wanted], "rewrite": rewrite});
    let snapshot = snapshot(json!({"routes": [route(&[rule])]}));
    let matched = select_route(vhost(&snapshot), 9080, &Message::get(path)).unwrap();
    let rewrite = matched.rule.rewrite.as_ref().unwrap();
    rewrite_path(rewrite, matched.form, path.as_bytes()).map(|it| String::from_utf8(it).unwrap())
}

#[test]
fn paths_are_rewritten() {
    let exact = |path: &str| json!({"path": {"exact": path}});
    let prefix = |path: &str| json!({"path": {"prefix": path}});
    let segment = |path: &str| json!({"path": {"segment_prefix": path}});
    let regex = |path: &str| json!({"path": {"regex": path}});
    for (wanted, new, path, expected) in [
        (exact("/a"), "/b", "/a", "/b"),
        (prefix("/foo"), "/bar", "/foobar", "/barbar"),
        (prefix("/foo/"), "/", "/foo/x", "/x"),
        (prefix("/foo"), "/", "/foo/x", "//x"),
        (prefix("/foo"), "", "/foo", "/"),
        (segment("/foo"), "/", "/foo/x", "/x"),
        (segment("/foo"), "/", "/foo", "/"),
        (segment("/foo"), "/bar/", "/foo/x", "/bar/x"),
        (segment("/"), "/v1", "/x", "/v1/x"),
        (regex("/a.*"), "/b", "/abc", "/b"),
        (json!({}), "/v1/", "/x", "/v1/x"),
        (exact("/a"), "b", "/a", "/b"),
    ] {
        let name = format!("{wanted} {path}");
        let found = rewritten(wanted, json!({"path": new}), path);
        assert_eq!(found.as_deref(), Some(expected), "{name}");
    }
    let none = rewritten(json!({}), json!({"authority": "b.example"}), "/a");
    assert_eq!(none, None, "a new authority leaves the path");
}

#[test]
fn an_expression_rewrites_every_place_it_matches() {
    for (pattern, replacement, path, expected) in [
        (
            "^/service/([^/]+)(/.*)$",
            r"\2/instance/\1",
            "/service/foo/v1/api",
            "/v1/api/instance/foo",
        ),
        ("one", "two", "/one/one", "/two/two"),
        ("/x", "$1", "/x", "/$1"),
        ("/nothing", "/b", "/a", "/a"),
    ] {
        let found = rewritten(json!({}), json!({"regex": [pattern, replacement]}), path);
        assert_eq!(found.as_deref(), Some(expected), "{pattern}");
    }
}

fn location(wanted: Value, redirect: Value, message: &Message) -> String {
    let mut whole = json!({"status": 301});
    for (key, value) in redirect.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let rule = json!({"matches": [wanted], "action": {"redirect": whole}});
    let snapshot = snapshot(json!({"routes": [route(&[rule])]}));
    let matched = select_route(vhost(&snapshot), 9080, message).unwrap();
    let meshcore_snapshot::RuleAction::Redirect(redirect) = &matched.rule.action else {
        panic!("not a redirect")
    };
    String::from_utf8(redirect_location(redirect, matched.form, message)).unwrap()
}

#[test]
fn redirects_point_to() {
    let get = |authority: &str, target: &str| Message::get(target).to(authority);
    for (redirect, message, expected) in [
        (json!({"path": "/b"}), get("a", "/a?x=1"), "http://a/b?x=1"),
        (json!({"path": "/b?y=2"}), get("a", "/a?x=1"), "http://a/b?y=2"),
        (json!({"authority": "b.example"}), get("a:9080", "/a"), "http://b.example/a"),
        (json!({"authority": "b.example:8080"}), get("a", "/a"), "http://b.example:8080/a"),
        (json!({"scheme": "https"}), get("a:80", "/a"), "https://a/a"),
        (json!({"scheme": "https"}), get("a:9080", "/a"), "https://a:9080/a"),
        (json!({"path": "/b"}), get("a:80", "/a"), "http://a/b"),
        (json!({"path": "/b"}), get("a:9080", "/a"), "http://a:9080/b"),
        (json!({"port": 8443, "scheme": "https"}), get("a:80", "/a"), "https://a:8443/a"),
        (json!({"port": 443, "scheme": "https"}), get("a:80", "/a"), "https://a/a"),
        (json!({"port": 80}), get("a:9080", "/a"), "http://a/a"),
        (json!({"port": 443}), get("a", "/a"), "http://a:443/a"),
        (json!({"default_port": true}), get("a:9080", "/a"), "http://a/a"),
        (json!({"path": "/b"}), get("[::1]:9080", "/a"), "http://[::1]:9080/b"),
        (json!({"path": "/b"}), get("[::1]", "/a"), "http://[::1]/b"),
    ] {
        let name = redirect.to_string();
        assert_eq!(location(json!({}), redirect, &message), expected, "{name}");
    }
}

#[test]
fn a_redirect_replaces_the_matched_prefix() {
    let prefix = json!({"path": {"prefix": "/old"}});
    let found = location(prefix, json!({"prefix": "/new"}), &Message::get("/old/x?q"));
    assert_eq!(found, "http://reviews/new/x?q");
}
