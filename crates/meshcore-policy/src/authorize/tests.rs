use meshcore_model::Identity;
use meshcore_snapshot::Snapshot;
use serde_json::{Value, json};

use super::*;
use crate::scene::{Message, origin, peer, policies, snapshot, table};

fn web() -> Identity {
    Identity::new("cluster.local", "shop", "web").unwrap()
}

fn with(all: &[(&str, Value)]) -> Snapshot {
    snapshot(json!({"authorizations": policies(all)}))
}

fn http(snapshot: &Snapshot, message: &Message, identity: Option<&Identity>) -> (bool, Why) {
    let verdict = authorize_http(table(snapshot), message, &peer(identity));
    (verdict.allowed, verdict.why)
}

fn tcp(snapshot: &Snapshot, identity: Option<&Identity>) -> (bool, Why) {
    let verdict = authorize_tcp(table(snapshot), &peer(identity));
    (verdict.allowed, verdict.why)
}

/// Whether an ALLOW policy, and whether a DENY policy, of this one rule matches.
fn allow_and_deny(rule: &Value, message: &Message, identity: Option<&Identity>) -> (bool, bool) {
    let rules = json!([rule]);
    let allows = http(&with(&[("allow", rules.clone())]), message, identity).0;
    let denies = !http(&with(&[("deny", rules)]), message, identity).0;
    (allows, denies)
}

const YES: (bool, bool) = (true, true);
const NO: (bool, bool) = (false, false);
/// Ambiguous: neither allowed nor let through.
const SAFE: (bool, bool) = (false, true);

#[test]
fn deny_comes_first_and_any_allow_policy_closes_the_rest() {
    let all = json!([{}]);
    let get = json!([{"to": [{"methods": {"any": [{"exact": "GET"}]}}]}]);
    let put = json!([{"to": [{"methods": {"any": [{"exact": "PUT"}]}}]}]);
    for (name, policies, expected) in [
        ("no policy", vec![], (true, Why::NoPolicy)),
        ("spec: {}", vec![("allow", json!([]))], (false, Why::NoAllowRule)),
        ("rules: [{}]", vec![("allow", all.clone())], (true, Why::AllowRule)),
        ("deny without rules", vec![("deny", json!([]))], (true, Why::NoPolicy)),
        ("deny all", vec![("deny", all.clone())], (false, Why::DenyRule)),
        ("deny wins", vec![("allow", all.clone()), ("deny", all)], (false, Why::DenyRule)),
        (
            "another deny",
            vec![("allow", get.clone()), ("deny", put.clone())],
            (true, Why::AllowRule),
        ),
        ("another allow", vec![("allow", put.clone())], (false, Why::NoAllowRule)),
        ("one of two policies", vec![("allow", put), ("allow", get)], (true, Why::AllowRule)),
    ] {
        let snapshot = with(&policies);
        assert_eq!(http(&snapshot, &Message::get("/"), None), expected, "{name}");
    }
}

#[test]
fn sources() {
    let from = |field: &str, test: Value| json!({"from": [{field: test}]});
    let any = |value: Value| json!({"any": [value]});
    let none = |value: Value| json!({"none": [value]});
    let exact = |text: &str| json!({"exact": text});
    let web = web();
    let web = Some(&web);
    for (name, rule, identity, expected) in [
        ("principal", from("principals", any(exact("cluster.local/ns/shop/sa/web"))), web, YES),
        (
            "other principal",
            from("principals", any(exact("cluster.local/ns/shop/sa/app"))),
            web,
            NO,
        ),
        (
            "with the scheme",
            from("principals", any(exact("spiffe://cluster.local/ns/shop/sa/web"))),
            web,
            NO,
        ),
        ("suffix", from("principals", any(json!({"suffix": "/sa/web"}))), web, YES),
        ("prefix", from("principals", any(json!({"prefix": "cluster.local/ns/shop/"}))), web, YES),
        ("any identity", from("principals", any(json!("present"))), web, YES),
        ("no identity", from("principals", any(json!("present"))), None, NO),
        (
            "not a principal",
            from("principals", none(exact("cluster.local/ns/shop/sa/web"))),
            web,
            NO,
        ),
        ("not, without identity", from("principals", none(json!("present"))), None, YES),
        ("namespace", from("namespaces", any(exact("shop"))), web, YES),
        ("part of a namespace", from("namespaces", any(exact("sho"))), web, NO),
        ("not namespace, no identity", from("namespaces", none(exact("shop"))), None, YES),
        (
            "account",
            from("service_accounts", any(json!({"namespace": "shop", "name": "web"}))),
            web,
            YES,
        ),
        (
            "account elsewhere",
            from("service_accounts", any(json!({"namespace": "sho.", "name": "web"}))),
            web,
            NO,
        ),
        (
            "account is no pattern",
            from("service_accounts", any(json!({"namespace": "shop", "name": "*"}))),
            web,
            NO,
        ),
        (
            "account, no identity",
            from("service_accounts", any(json!({"namespace": "shop", "name": "web"}))),
            None,
            NO,
        ),
        (
            "not account, no identity",
            from("service_accounts", none(json!({"namespace": "shop", "name": "web"}))),
            None,
            YES,
        ),
        ("peer address", from("ip_blocks", any(json!("10.0.0.0/24"))), None, YES),
        ("not peer address", from("ip_blocks", none(json!("10.0.0.9"))), None, NO),
        ("client address", from("remote_ip_blocks", any(json!("1.2.3.4"))), None, YES),
        ("the peer is not the client", from("remote_ip_blocks", any(json!("10.0.0.9"))), None, NO),
        ("no token", from("request_principals", any(json!("present"))), web, NO),
        ("not with a token", from("request_principals", none(json!("present"))), web, YES),
    ] {
        assert_eq!(allow_and_deny(&rule, &Message::get("/"), identity), expected, "{name}");
    }
}

#[test]
fn trust_domain_aliases_mean_the_same() {
    let of = |domain: &str| Identity::new(domain, "shop", "web").unwrap();
    for (wanted, domain, expected) in [
        ("cluster.local/ns/shop/sa/web", "old.example", true),
        ("old.example/ns/shop/sa/web", "cluster.local", true),
        ("old.example/ns/shop/sa/web", "old.example", true),
        ("cluster.local/ns/shop/sa/web", "evil.example", false),
        ("evil.example/ns/shop/sa/web", "cluster.local", false),
    ] {
        let rules = json!([{"from": [{"principals": {"any": [{"exact": wanted}]}}]}]);
        let snapshot = snapshot(json!({
            "settings": {"trust_domain": "cluster.local", "trust_domain_aliases": ["old.example"]},
            "authorizations": policies(&[("allow", rules)]),
        }));
        let found = http(&snapshot, &Message::get("/"), Some(&of(domain))).0;
        assert_eq!(found, expected, "{wanted} {domain}");
    }
}

#[test]
fn operations() {
    let to = |field: &str, test: Value| json!({"to": [{field: test}]});
    let any = |value: Value| json!({"any": [value]});
    let none = |value: Value| json!({"none": [value]});
    let exact = |text: &str| json!({"exact": text});
    let get = || Message::get("/admin/x");
    for (name, rule, message, expected) in [
        ("path", to("paths", any(exact("/admin/x"))), get(), YES),
        ("path prefix", to("paths", any(json!({"prefix": "/admin"}))), get(), YES),
        ("path without its query", to("paths", any(exact("/a"))), Message::get("/a?x"), YES),
        ("not a path", to("paths", none(json!({"prefix": "/admin"}))), get(), NO),
        ("path template", to("paths", any(json!({"template": "/admin/{*}"}))), get(), YES),
        (
            "bytes that are not text",
            to("paths", any(json!({"prefix": "/a"}))),
            Message::get(b"/a\xff"),
            YES,
        ),
        ("no path", to("paths", any(exact("/a"))), Message::get(""), SAFE),
        ("no path, negative", to("paths", none(exact("/a"))), Message::get(""), SAFE),
        (
            "parameters hide a segment",
            to("paths", any(json!({"prefix": "/admin/"}))),
            Message::get("/admin;a/x"),
            SAFE,
        ),
        (
            "parameters hide it, negative",
            to("paths", none(json!({"prefix": "/admin/"}))),
            Message::get("/admin;a/x"),
            SAFE,
        ),
        (
            "parameters elsewhere",
            to("paths", any(json!({"prefix": "/admin"}))),
            Message::get("/admin/x;a=1"),
            YES,
        ),
        ("method", to("methods", any(exact("GET"))), get(), YES),
        ("method in lower case", to("methods", any(exact("get"))), get(), NO),
        ("not method", to("methods", none(exact("GET"))), get(), NO),
        ("port", to("ports", any(json!(9080))), get(), YES),
        ("other port", to("ports", any(json!(80))), get(), NO),
        ("host", to("hosts", any(exact("a.example"))), get().to("a.example"), YES),
        ("host in capitals", to("hosts", any(exact("A.example"))), get().to("a.EXAMPLE"), YES),
        ("host with a port", to("hosts", any(exact("a.example"))), get().to("a.example:8080"), YES),
        ("host with a dot", to("hosts", any(exact("a.example"))), get().to("a.example."), YES),
        (
            "port form",
            to("hosts", any(json!({"prefix": "a.example:"}))),
            get().to("a.example:80"),
            YES,
        ),
        ("host is literal", to("hosts", any(exact("a.example"))), get().to("axexample"), NO),
        (
            "not host with a port",
            to("hosts", none(exact("a.example"))),
            get().to("a.example:80"),
            NO,
        ),
        ("port", to("hosts", any(exact("a.example:80"))), get().to("a.example:80"), YES),
        ("port, dot", to("hosts", any(exact("a.example:80"))), get().to("a.example.:80"), YES),
        ("port, zeros", to("hosts", any(exact("a.example:80"))), get().to("a.example:0080"), YES),
        ("address", to("hosts", any(exact("[::1]:80"))), get().to("[0:0::1]:80"), YES),
        ("no host", to("hosts", any(exact("a"))), get().to(""), SAFE),
        ("no host, negative", to("hosts", none(exact("a"))), get().to(""), SAFE),
        ("two hosts", to("hosts", any(exact("a"))), get().to("a,b"), SAFE),
        ("user information", to("hosts", none(exact("a"))), get().to("u@a"), SAFE),
    ] {
        assert_eq!(allow_and_deny(&rule, &message, None), expected, "{name}");
    }
}

fn when(key: &Value, values: &Value) -> Value {
    json!({"when": [{"key": key, "values": values}]})
}

#[test]
fn conditions() {
    let any = |text: &str| json!({"any": [{"exact": text}]});
    let none = |text: &str| json!({"none": [{"exact": text}]});
    let claim = || json!({"request_claim": ["groups"]});
    let web = web();
    let web = Some(&web);
    for (name, key, values, identity, expected) in [
        ("source ip", json!("source_ip"), any("10.0.0.0/8"), None, YES),
        ("remote ip", json!("remote_ip"), any("1.2.3.4"), None, YES),
        ("destination ip", json!("destination_ip"), none("10.0.0.1"), None, NO),
        ("destination port", json!("destination_port"), any("9080"), None, YES),
        ("namespace", json!("source_namespace"), any("shop"), web, YES),
        ("principal", json!("source_principal"), any("cluster.local/ns/shop/sa/web"), web, YES),
        ("no principal", json!("source_principal"), none("x"), None, YES),
        ("account", json!("source_service_account"), any("shop/web"), web, YES),
        ("account of the policy", json!("source_service_account"), any("web"), web, NO),
        (
            "sni",
            json!("connection_sni"),
            any("outbound_.9080_._.reviews.prod.svc.cluster.local"),
            None,
            YES,
        ),
        ("claim without token", claim(), any("admin"), web, NO),
        ("not claim without token", claim(), none("admin"), web, YES),
        ("audience without token", json!("request_audiences"), any("a"), web, NO),
        ("presenter without token", json!("request_presenter"), none("a"), web, YES),
    ] {
        let rule = when(&key, &values);
        assert_eq!(allow_and_deny(&rule, &Message::get("/"), identity), expected, "{name}");
    }
}

#[test]
fn pseudo_headers_are_read_for_denying_too() {
    let any = |text: &str| json!({"any": [{"exact": text}]});
    let none = |text: &str| json!({"none": [{"exact": text}]});
    let get = || Message::get("/admin;x").to("a.example.:80");
    for (header, values, message, expected) in [
        (":path", any("/admin"), Message::get("/admin"), YES),
        (":path", any("/admin"), get(), SAFE),
        (":path", none("/admin"), get(), SAFE),
        (":path", any("/other"), get(), NO),
        (":authority", any("A.Example"), get().to("a.example"), YES),
        (":authority", any("a.example"), get(), SAFE),
        ("host", any("a.example:80"), get(), SAFE),
        ("Host", none("a.example"), get(), SAFE),
        (":authority", any("a"), get().to("a,b"), SAFE),
        (":method", any("GET"), get(), YES),
        (":scheme", any("https"), get(), NO),
    ] {
        let rule = when(&json!({"request_header": header}), &values);
        assert_eq!(allow_and_deny(&rule, &message, None), expected, "{header} {values}");
    }
}

#[test]
fn a_header_with_several_values_is_read_for_denying() {
    let key = json!({"request_header": "X-Role"});
    let any = json!({"any": [{"exact": "user"}]});
    let none = json!({"none": [{"exact": "user"}]});
    let of = |values: &[&str]| {
        values.iter().fold(Message::get("/"), |message, value| message.with("x-role", value))
    };
    for (name, values, test, expected) in [
        ("one", vec!["user"], &any, YES),
        ("another", vec!["admin"], &any, NO),
        ("missing", vec![], &any, NO),
        ("empty", vec![""], &any, NO),
        ("twice, equal", vec!["user", "user"], &any, YES),
        ("twice, one matches", vec!["user", "admin"], &any, SAFE),
        ("joined, one matches", vec!["admin, user"], &any, SAFE),
        ("not one", vec!["user"], &none, NO),
        ("not another", vec!["admin"], &none, YES),
        ("not missing", vec![], &none, YES),
        ("not twice", vec!["user", "admin"], &none, SAFE),
        ("not joined", vec!["admin,user"], &none, SAFE),
        ("not empty", vec![""], &none, YES),
    ] {
        let rule = when(&key, test);
        assert_eq!(allow_and_deny(&rule, &of(&values), None), expected, "{name}");
    }
}

#[test]
fn every_byte_is_decided() {
    for byte in 1..=255_u8 {
        let path = [b"/a", &[byte][..]].concat();
        if byte == b'?' || byte == b';' {
            continue;
        }
        let any = json!({"to": [{"paths": {"any": [{"prefix": "/a"}]}}]});
        let none = json!({"to": [{"paths": {"none": [{"prefix": "/a"}]}}]});
        assert_eq!(allow_and_deny(&any, &Message::get(&path), None), YES, "{byte}");
        assert_eq!(allow_and_deny(&none, &Message::get(&path), None), NO, "{byte}");
    }
}

#[test]
fn lists_are_any_fields_are_all() {
    let rule = json!({
        "from": [
            {"namespaces": {"any": [{"exact": "other"}]}},
            {"namespaces": {"any": [{"exact": "shop"}]}, "ip_blocks": {"any": ["10.0.0.9"]}},
        ],
        "to": [{"methods": {"any": [{"exact": "GET"}]}, "ports": {"any": [9080]}}],
        "when": [
            {"key": "source_ip", "values": {"any": [{"exact": "10.0.0.9"}]}},
            {"key": {"request_header": "x"}, "values": {"any": [{"exact": "1"}]}},
        ],
    });
    let web = web();
    let message = Message::get("/").with("x", "1");
    assert_eq!(allow_and_deny(&rule, &message, Some(&web)), YES);
    assert_eq!(allow_and_deny(&rule, &message.clone().by("PUT"), Some(&web)), NO);
    assert_eq!(allow_and_deny(&rule, &Message::get("/"), Some(&web)), NO);
    assert_eq!(allow_and_deny(&rule, &message, None), NO);
}

#[test]
fn on_tcp_ports_http_fields_drop_an_allow_and_widen_a_deny() {
    let web = web();
    let shop = json!({"namespaces": {"any": [{"exact": "shop"}]}});
    let methods = json!({"methods": {"any": [{"exact": "GET"}]}});
    for (name, rule, allows, denies) in [
        ("no http", json!({"from": [shop]}), true, true),
        ("methods", json!({"to": [methods]}), false, true),
        ("methods and source", json!({"from": [shop], "to": [methods]}), false, true),
        (
            "the rest still counts",
            json!({"from": [{"namespaces": {"any": [{"exact": "x"}]}}], "to": [methods]}),
            false,
            false,
        ),
        (
            "port and path",
            json!({"to": [{"ports": {"any": [80]}, "paths": {"any": [{"exact": "/"}]}}]}),
            false,
            false,
        ),
        (
            "one of two operations",
            json!({"to": [methods, {"ports": {"any": [9080]}}]}),
            false,
            true,
        ),
        (
            "header",
            when(&json!({"request_header": "x"}), &json!({"any": [{"exact": "1"}]})),
            false,
            true,
        ),
        ("token", json!({"from": [{"request_principals": {"any": ["present"]}}]}), false, true),
        (
            "claim",
            when(&json!({"request_claim": ["a"]}), &json!({"none": [{"exact": "1"}]})),
            false,
            true,
        ),
    ] {
        let allow = tcp(&with(&[("allow", json!([rule]))]), Some(&web));
        let deny = tcp(&with(&[("deny", json!([rule]))]), Some(&web));
        assert_eq!((allow.0, !deny.0), (allows, denies), "{name}");
    }
}

#[test]
fn policies_select_their_workloads() {
    let policy = |namespace: &str, selector: Value| {
        json!({
            "origin": origin("AuthorizationPolicy", namespace, "p"), "selector": selector,
            "action": "deny", "rules": [{}],
        })
    };
    for (namespace, selector, denied) in [
        ("prod", json!({}), true),
        ("istio-system", json!({}), true),
        ("shop", json!({}), false),
        ("prod", json!({"app": "reviews"}), true),
        ("istio-system", json!({"app": "reviews"}), true),
        ("prod", json!({"app": "ratings"}), false),
    ] {
        let snapshot = snapshot(json!({"authorizations": [policy(namespace, selector.clone())]}));
        let found = http(&snapshot, &Message::get("/"), None).0;
        assert_eq!(!found, denied, "{namespace} {selector}");
    }
}

#[test]
fn dry_run_is_counted_and_not_enforced() {
    let mut all = policies(&[("deny", json!([{}])), ("allow", json!([{}]))]);
    all[0]["dry_run"] = json!(true);
    let snapshot = snapshot(json!({"authorizations": all}));
    let verdict = authorize_http(table(&snapshot), &Message::get("/"), &peer(None));
    assert!(verdict.allowed);
    assert_eq!(verdict.why, Why::AllowRule);
    let dry_run = verdict.dry_run.unwrap();
    assert!(!dry_run.allowed);
    assert_eq!(dry_run.by.unwrap().origin.name, "p0");
}

#[test]
fn a_verdict_names_the_line() {
    let rules = json!([
        {"line": 7, "from": [{"namespaces": {"any": [{"exact": "x"}]}}]},
        {"line": 12, "to": [{"methods": {"any": [{"exact": "GET"}]}}]},
    ]);
    let snapshot = with(&[("deny", rules)]);
    let (verdict, steps) = explain_http(table(&snapshot), &Message::get("/"), &peer(None));
    assert_eq!(verdict.by.unwrap().line(), 12);
    assert_eq!(verdict.to_string(), "denied by AuthorizationPolicy prod/p0 (mesh.yaml:12)[1]");
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].unmet, Some(Unmet::From(0, "namespaces")));
    assert_eq!(steps[0].unmet.unwrap().to_string(), "from[0].source.namespaces");
    assert_eq!(steps[1].unmet, None);
}

#[test]
fn an_explanation_has_every_rule_and_the_same_verdict() {
    let rules = json!([
        {"from": [{"principals": {"any": ["present"]}}]},
        {"to": [{"paths": {"any": [{"exact": "/a"}]}}, {"methods": {"any": [{"exact": "PUT"}]}}]},
        {"when": [{"key": "source_ip", "values": {"any": [{"exact": "9.9.9.9"}]}}]},
    ]);
    let snapshot = with(&[("allow", rules)]);
    let (verdict, steps) = explain_http(table(&snapshot), &Message::get("/"), &peer(None));
    assert_eq!((verdict.allowed, verdict.why), (false, Why::NoAllowRule));
    assert_eq!(verdict.to_string(), "denied: no ALLOW rule matched");
    let unmet: Vec<_> = steps.iter().map(|step| step.unmet.unwrap()).collect();
    assert_eq!(unmet, [Unmet::From(0, "principals"), Unmet::To(1, "methods"), Unmet::When(0)]);
    let (_, steps) = explain_tcp(table(&snapshot), &peer(None));
    assert_eq!(steps[1].unmet, Some(Unmet::NeedsHttp));
}
