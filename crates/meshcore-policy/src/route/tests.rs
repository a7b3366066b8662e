use meshcore_snapshot::{RouteTable, RuleAction, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::scene::{Message, route, snapshot, vhost};

fn with_rules(rules: &[Value]) -> Snapshot {
    snapshot(json!({"routes": [route(rules)]}))
}

fn selected(snapshot: &Snapshot, port: u16, message: &Message) -> Option<String> {
    select_route(vhost(snapshot), port, message).map(|matched| matched.name.to_string())
}

/// Whether the match holds for the message.
fn matches(wanted: Value, message: &Message) -> bool {
    selected(&with_rules(&[json!({"matches": [wanted]})]), 9080, message).is_some()
}

#[test]
fn paths() {
    for (wanted, path, expected) in [
        (json!({"exact": "/a"}), "/a", true),
        (json!({"exact": "/a"}), "/a?x=1", true),
        (json!({"exact": "/a"}), "/A", false),
        (json!({"exact": "/a"}), "/a/", false),
        (json!({"prefix": "/foo"}), "/foobar", true),
        (json!({"prefix": "/foo"}), "/fo", false),
        (json!({"prefix": "/"}), "/anything", true),
        (json!({"segment_prefix": "/foo"}), "/foobar", false),
        (json!({"segment_prefix": "/foo"}), "/foo", true),
        (json!({"segment_prefix": "/foo"}), "/foo/bar", true),
        (json!({"segment_prefix": "/foo/"}), "/foo/bar", true),
        (json!({"segment_prefix": "/"}), "/x", true),
        (json!({"regex": "/a|/b"}), "/b", true),
        (json!({"regex": "/a"}), "/ab", false),
        (json!({"regex": "a"}), "/a", false),
        (json!({"regex": "/v[0-9]+/.*"}), "/v12/x/y", true),
    ] {
        let name = format!("{wanted} {path}");
        assert_eq!(matches(json!({"path": wanted}), &Message::get(path)), expected, "{name}");
    }
}

#[test]
fn the_case_of_exact_and_prefix_can_be_ignored() {
    for (wanted, path, expected) in [
        (json!({"exact": "/Ab"}), "/aB", true),
        (json!({"prefix": "/Ab"}), "/aBc", true),
        (json!({"regex": "/Ab"}), "/ab", false),
    ] {
        let wanted = json!({"path": wanted, "ignore_path_case": true});
        assert_eq!(matches(wanted, &Message::get(path)), expected, "{path}");
    }
}

#[test]
fn predicates() {
    let get = || Message::get("/a?x=1&y&z=");
    for (name, wanted, message, expected) in [
        ("method", json!({"method": {"exact": "GET"}}), get(), true),
        ("method is case-sensitive", json!({"method": {"exact": "get"}}), get(), false),
        ("scheme", json!({"scheme": {"exact": "HTTP"}}), get(), true),
        (
            "authority without port",
            json!({"authority": {"exact": "a.b"}}),
            get().to("A.b.:80"),
            true,
        ),
        ("authority is literal", json!({"authority": {"exact": "a.b"}}), get().to("axb"), false),
        ("header", header("x", json!({"exact": "1"})), get().with("x", "1"), true),
        ("header is missing", header("x", json!({"exact": "1"})), get(), false),
        (
            "header name in capitals",
            header("X-A", json!({"exact": "1"})),
            get().with("x-a", "1"),
            true,
        ),
        (
            "header twice is joined",
            header("x", json!({"exact": "1,2"})),
            get().with("x", "1").with("x", "2"),
            true,
        ),
        (
            "header three times",
            header("x", json!({"exact": "1,2,3"})),
            get().with("x", "1").with("x", "2").with("x", "3"),
            true,
        ),
        (
            "header twice, one value",
            header("x", json!({"exact": "1"})),
            get().with("x", "1").with("x", "2"),
            false,
        ),
        ("header is there, and empty", header("x", json!("present")), get().with("x", ""), true),
        ("header is not there", header("x", json!("present")), get(), false),
        ("header regex", header("x", json!({"regex": "a.*"})), get().with("x", b"a\xff"), true),
        ("without: missing", without("x", json!({"exact": "1"})), get(), true),
        ("without: other", without("x", json!({"exact": "1"})), get().with("x", "2"), true),
        ("without: same", without("x", json!({"exact": "1"})), get().with("x", "1"), false),
        ("without: absent", without("x", json!("present")), get(), true),
        ("without: present", without("x", json!("present")), get().with("x", "2"), false),
        ("query", query("x", json!({"exact": "1"})), get(), true),
        ("query: no value", query("y", json!({"exact": ""})), get(), true),
        ("query: empty and there", query("z", json!("present")), get(), true),
        ("query: not there", query("w", json!("present")), get(), false),
        (
            "query: the first counts",
            query("x", json!({"exact": "2"})),
            Message::get("/?x=1&x=2"),
            false,
        ),
        ("port", json!({"port": 9080}), get(), true),
    ] {
        assert_eq!(matches(wanted, &message), expected, "{name}");
    }
}

fn header(name: &str, value: Value) -> Value {
    json!({"headers": [{"name": name, "value": value}]})
}

fn without(name: &str, value: Value) -> Value {
    json!({"without_headers": [{"name": name, "value": value}]})
}

fn query(name: &str, value: Value) -> Value {
    json!({"query": [{"name": name, "value": value}]})
}

#[test]
fn the_first_rule_of_the_document_wins() {
    let snapshot = with_rules(&[
        json!({"matches": [{"path": {"regex": "/a/[0-9]+"}, "method": {"exact": "PUT"}}]}),
        json!({"matches": [{"path": {"prefix": "/a/"}, "name": "any"}, {"path": {"exact": "/b"}}]}),
        json!({"matches": [{"path": {"exact": "/a/1"}}]}),
        json!({"name": ""}),
    ]);
    let of = |message: &Message| selected(&snapshot, 9080, message).unwrap();
    assert_eq!(of(&Message::get("/a/1")), "r1.any", "a prefix before an exact path");
    assert_eq!(of(&Message::get("/a/1").by("PUT")), "r0", "a regex before both");
    assert_eq!(of(&Message::get("/b")), "r1");
    assert_eq!(of(&Message::get("/c")), "default");
}

#[test]
fn a_port_that_no_rule_is_for_goes_to_the_service() {
    let snapshot = with_rules(&[json!({"matches": [{"port": 9081, "path": {"exact": "/x"}}]})]);
    assert_eq!(selected(&snapshot, 9080, &Message::get("/x")).unwrap(), "default");
    assert_eq!(selected(&snapshot, 9081, &Message::get("/x")).unwrap(), "r0");
    assert_eq!(selected(&snapshot, 9081, &Message::get("/y")), None, "no route");
    let all = vhost(&snapshot).tables().flat_map(RouteTable::rules);
    assert_eq!(all.map(|rule| &*rule.name).collect::<Vec<_>>(), ["r0", "default"]);
}

#[test]
fn destinations_get_their_share() {
    let to = |host: &str, weight| json!({"host": host, "weight": weight});
    let snapshot = with_rules(&[json!({"action": {"forward": [
        to("reviews.prod.svc.cluster.local", 25), to("nowhere", 75),
    ]}})]);
    let rule = select_route(vhost(&snapshot), 9080, &Message::get("/a")).unwrap().rule;
    let RuleAction::Forward(destinations) = &rule.action else { panic!("it forwards") };
    let hosts = (0..100).map(|random| destinations.choose(random).unwrap());
    let known = hosts.filter(|destination| destination.cluster(9080).is_some()).count();
    assert_eq!(known, 25);
}

/// One match of the reference.
#[derive(Debug, Clone)]
struct Wanted {
    path: Option<(u8, String)>,
    fold: bool,
    header: Option<String>,
}

impl Wanted {
    fn value(&self) -> Value {
        let mut value = json!({"ignore_path_case": self.fold});
        if let Some((form, path)) = &self.path {
            let form = ["exact", "prefix", "segment_prefix", "regex"][usize::from(*form)];
            value["path"] = json!({form: path});
        }
        if let Some(header) = &self.header {
            value["headers"] = json!([{"name": "x", "value": {"exact": header}}]);
        }
        value
    }

    /// As one would write it down.
    fn holds(&self, path: &str, header: Option<&str>) -> bool {
        let path_holds = self.path.as_ref().is_none_or(|(form, wanted)| {
            let fold = self.fold && *form < 2;
            let fold = |text: &str| if fold { text.to_lowercase() } else { text.to_owned() };
            let (wanted, path) = (fold(wanted), fold(path));
            match form {
                1 => path.starts_with(&wanted),
                2 => {
                    let wanted = wanted.strip_suffix('/').unwrap_or(&wanted);
                    path == wanted || path.starts_with(&format!("{wanted}/"))
                }
                _ => path == wanted, // an expression without operators is exact
            }
        });
        path_holds && self.header.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == header)
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let path = prop::option::weighted(0.9, (0_u8..4, "/[ab/]{0,4}|/[aB]{0,2}"));
    let header = prop::option::weighted(0.3, "[pq]");
    (path, any::<bool>(), header).prop_map(|(path, fold, header)| Wanted { path, fold, header })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_finds_what_a_walk_finds(
        rules in prop::collection::vec(prop::collection::vec(wanted(), 1..3), 1..25),
        requests in prop::collection::vec(("/[abB/]{0,6}", prop::option::of("[pq]")), 20),
    ) {
        let written: Vec<Value> = rules
            .iter()
            .map(|all| json!({"matches": all.iter().map(Wanted::value).collect::<Vec<_>>()}))
            .collect();
        let snapshot = with_rules(&written);
        for (path, header) in requests {
            let mut message = Message::get(&path);
            if let Some(header) = &header {
                message = message.with("x", header);
            }
            let expected = rules
                .iter()
                .position(|all| all.iter().any(|one| one.holds(&path, header.as_deref())))
                .map(|index| format!("r{index}"));
            prop_assert_eq!(selected(&snapshot, 9080, &message), expected, "{} {:?}", path, header);
        }
    }
}

#[test]
fn a_table_keeps_the_order_of_the_document() {
    let snapshot = with_rules(&[json!({"matches": [{}, {}]}), json!({})]);
    let table: &RouteTable = vhost(&snapshot).routes(9080);
    assert_eq!(table.rules().len(), 2);
    assert_eq!(table.entries().iter().map(|entry| entry.rule).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(table.rules()[1].index, 1);
}

#[test]
fn an_explanation_has_every_match_up_to_the_one_that_holds() {
    let snapshot = with_rules(&[
        json!({"matches": [{"path": {"exact": "/b"}}, {"method": {"exact": "PUT"}}]}),
        json!({"matches": [{"path": {"regex": "/a.*"}, "headers": [{"name": "x", "value": "present"}]}]}),
        json!({"matches": [{"path": {"prefix": "/a"}, "name": "m"}]}),
        json!({}),
    ]);
    let explain = |path: &str| {
        let (matched, steps) = explain_route(vhost(&snapshot), 9080, &Message::get(path));
        let steps: Vec<_> = steps.iter().map(|step| (step.name.to_string(), step.unmet)).collect();
        (matched.unwrap().name.to_string(), steps)
    };
    let owned = |all: &[(&str, Option<&'static str>)]| -> Vec<(String, Option<&'static str>)> {
        all.iter().map(|(name, unmet)| ((*name).to_owned(), *unmet)).collect()
    };
    let (matched, steps) = explain("/a");
    assert_eq!(matched, "r2.m");
    let all =
        [("r0", Some("path")), ("r0", Some("method")), ("r1", Some("headers")), ("r2.m", None)];
    assert_eq!(steps, owned(&all));
    assert_eq!(explain("/b"), ("r0".to_owned(), owned(&[("r0", None)])));
}

#[test]
fn expressions_that_need_unicode_do_not_change_the_others() {
    let snapshot = with_rules(&[
        json!({"matches": [{"path": {"regex": r"/\pL"}}]}),
        json!({"matches": [{"path": {"regex": "/x."}}]}),
    ]);
    assert_eq!(selected(&snapshot, 9080, &Message::get("/é")).unwrap(), "r0");
    assert_eq!(selected(&snapshot, 9080, &Message::get(b"/x\xff")).unwrap(), "r1");
}
