use super::*;

fn one_rule(fields: Value) -> Value {
    let http = json!({"http": [rule("ok", "a"), with(rule("r", "a"), fields)]});
    json!({"routes": [route("prod", "shop", &["shop.example"], http)]})
}

fn authorization(rule: Value) -> Value {
    json!({"authorizations": [{
        "origin": origin("AuthorizationPolicy", "prod", "p"), "action": "allow", "rules": [{}, rule],
    }]})
}

#[test]
fn a_mistake_names_the_document_and_the_field() {
    let forward = |all: Value| json!({"action": {"forward": all}});
    let path = |path: Value| json!({"matches": [{"path": path}]});
    for (parts, field) in [
        (one_rule(forward(json!([]))), "http[1].route"),
        (
            one_rule(forward(json!([{"host": "a", "weight": 0}, {"host": "b", "weight": 0}]))),
            "http[1].route",
        ),
        (one_rule(json!({"action": {"redirect": {"status": 200}}})), "http[1].redirect.status"),
        (
            one_rule(json!({"action": {"redirect": {"status": 301, "authority": "a/b"}}})),
            "http[1].redirect.authority",
        ),
        (
            one_rule(json!({"action": {"redirect": {"status": 301, "path": "/a\r\nx: y"}}})),
            "http[1].redirect.path",
        ),
        (one_rule(json!({"action": {"respond": {"status": 100}}})), "http[1].respond.status"),
        (one_rule(json!({"rewrite": {"path": "/a b"}})), "http[1].rewrite.path"),
        (one_rule(json!({"rewrite": {"path": "/a#b"}})), "http[1].rewrite.path"),
        (one_rule(json!({"rewrite": {"path": "/grüße"}})), "http[1].rewrite.path"),
        (one_rule(json!({"rewrite": {"authority": "*.a"}})), "http[1].rewrite.authority"),
        (one_rule(json!({"rewrite": {"regex": ["(", "/"]}})), "http[1].rewrite.regex"),
        (one_rule(json!({"fault": {"abort": [999, 1]}})), "http[1].fault.abort"),
        (
            one_rule(json!({"retries": {"attempts": 1, "on": [], "statuses": [42]}})),
            "http[1].retries",
        ),
        (
            one_rule(json!({"request_headers": {"set": [["a b", "1"]]}})),
            "http[1].request_headers.set[\"a b\"]",
        ),
        (one_rule(path(json!({"regex": "("}))), "http[1].match.path"),
        (
            one_rule(json!({"matches": [{"headers": [{"name": "x", "value": {"regex": "("}}]}]})),
            "http[1].match[0]",
        ),
        // Rules for other clients are looked at too.
        (
            one_rule(json!({"matches": [{"source_namespace": "x", "method": {"regex": "("}}]})),
            "http[1].match[0]",
        ),
        (
            authorization(json!({"from": [{"ip_blocks": {"any": ["10.0.0.0/40"]}}]})),
            "rules[1].from.ip_blocks",
        ),
        (
            authorization(json!({"to": [{"paths": {"any": [{"template": "/{a}"}]}}]})),
            "rules[1].to.paths",
        ),
        (
            authorization(
                json!({"when": [{"key": "destination_port", "values": {"any": [{"exact": "x"}]}}]}),
            ),
            "rules[1].when",
        ),
        (
            authorization(json!({"when": [{"key": "source_ip", "values": {"any": ["present"]}}]})),
            "rules[1].when",
        ),
        (
            json!({"services": [with(service("prod", "a"), json!({"addresses": ["x"]}))]}),
            "addresses",
        ),
        (
            json!({"workloads": [with(workload("prod", "a", "v1", "10.0.0.2"), json!({"service_account": "a/b"}))]}),
            "service_account",
        ),
        (
            json!({"traffic_policies": [policy("prod", "a", json!({"subsets": [{"name": "a|b"}]}))]}),
            "subsets[0].name",
        ),
    ] {
        let name = parts.to_string();
        let rejected = refused(parts);
        assert_eq!(rejected.field, field, "{name}: {rejected}");
        assert_eq!(rejected.origin.file, "mesh.yaml", "{name}");
        assert!(!rejected.reason.is_empty());
    }
}

#[test]
fn identities_that_cannot_be_are_refused() {
    let names = json!({"subject_alt_names": ["reviews.example.com"]});
    let rejected = refused(json!({
        "services": [with(service("prod", "reviews"), names)],
        "workloads": [workload("prod", "reviews", "v1", "10.0.1.1")],
    }));
    assert_eq!(rejected.field, "subject_alt_names");
    let address = refused(json!({
        "services": [service("prod", "reviews")],
        "workloads": [workload("prod", "reviews", "v1", "10.0.0.1/8")],
    }));
    assert_eq!(
        address.to_string(),
        "Pod prod/reviews-v1 (mesh.yaml:3): address: \"10.0.0.1/8\" is not an IP address, a host name or a unix:// path"
    );
}
