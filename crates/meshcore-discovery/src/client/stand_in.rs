//! What stands in for a policy that cannot be put in force.

use meshcore_model::{Authorization, AuthorizationAction, AuthorizationRule, MtlsMode, Origin};
use meshcore_model::{PeerAuth, Resource, Selector};
use serde_json::Value;

/// Refuses everything that the policy selects; nothing for what is no policy.
///
/// Of what cannot be read, the kind is taken from the value, else from the name. A selector that
/// cannot be read selects everything in the namespace, and a namespace that is not known is the
/// one of the name.
pub(super) fn stand_in(name: &str, value: &[u8]) -> Vec<Resource> {
    let value: Value = serde_json::from_slice(value).unwrap_or(Value::Null);
    let fields = value.as_object().and_then(|object| object.iter().next());
    let mut parts = name.splitn(3, '/');
    let kind = fields.map(|(kind, _)| kind.as_str()).or_else(|| parts.clone().next());
    let is_peer_auth = match kind {
        Some("authorization") => false,
        Some("peer_auth") => true,
        Some(_) | None => return Vec::new(),
    };
    let body = fields.map_or(&Value::Null, |(_, body)| body);
    let field = |name: &str| body.get(name).cloned().unwrap_or_default();
    let origin: Origin = serde_json::from_value(field("origin")).unwrap_or_else(|_| Origin {
        kind: if is_peer_auth { "PeerAuthentication" } else { "AuthorizationPolicy" }.into(),
        namespace: parts.nth(1).unwrap_or_default().to_owned(),
        name: parts.next().unwrap_or(name).to_owned(),
        ..Origin::default()
    });
    let selector: Selector = serde_json::from_value(field("selector")).unwrap_or_default();
    let refuse = Authorization {
        origin: origin.clone(),
        selector: selector.clone(),
        action: AuthorizationAction::Deny,
        dry_run: field("dry_run") == Value::Bool(true),
        rules: vec![AuthorizationRule::default()],
    };
    let mut strict = vec![Resource::Authorization(Box::new(refuse))];
    if is_peer_auth {
        strict.push(Resource::PeerAuth(Box::new(PeerAuth {
            origin,
            selector,
            mode: Some(MtlsMode::Strict),
            ports: std::collections::BTreeMap::new(),
            created: String::new(),
        })));
    }
    strict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(name: &str, value: &str) -> (String, Selector) {
        match stand_in(name, value.as_bytes()).into_iter().next() {
            Some(Resource::Authorization(policy)) => {
                assert_eq!(policy.action, AuthorizationAction::Deny);
                assert_eq!(policy.rules, [AuthorizationRule::default()]);
                (policy.origin.namespace, policy.selector)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_selects_what_the_policy_selects() {
        let origin =
            r#""origin": {"kind": "AuthorizationPolicy", "namespace": "prod", "name": "p"}"#;
        let text =
            format!(r#"{{"authorization": {{{origin}, "selector": {{"app": "a"}}, "new": 1}}}}"#);
        let (namespace, selector) = denied("authorization/prod/p", &text);
        assert_eq!(namespace, "prod");
        assert!(selector.selects(&[("app".into(), "a".into())].into()));
        assert!(!selector.selects(&[("app".into(), "b".into())].into()));
    }

    #[test]
    fn what_cannot_be_read_selects_all_of_its_namespace() {
        for text in ["", "{", "[]", "{}", r#"{"authorization": 7}"#] {
            let (namespace, selector) = denied("authorization/prod/p", text);
            assert_eq!((namespace.as_str(), selector), ("prod", Selector::default()), "{text}");
        }
    }

    #[test]
    fn peer_authentication_refuses_plain_text_and_all_else() {
        let strict = stand_in("peer_auth/prod/p", b"junk");
        assert!(matches!(&strict[..], [Resource::Authorization(_), Resource::PeerAuth(auth)]
            if auth.mode == Some(MtlsMode::Strict)));
    }

    #[test]
    fn nothing_stands_in_for_the_rest() {
        assert!(stand_in("route/prod/p", b"junk").is_empty());
        assert!(stand_in("", b"").is_empty());
        assert!(stand_in("authorization/prod/p", br#"{"route": {}}"#).is_empty());
    }
}
