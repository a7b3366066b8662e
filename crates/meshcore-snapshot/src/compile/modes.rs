//! Which workload takes plain text.

use meshcore_model::{Labels, Mesh, MtlsMode, PeerAuth};

use crate::map::Map;

use super::scope::age;

/// Peer authentication by scope, the oldest first.
///
/// Source: Istio's `ComposePeerAuthentication`: port, then workload, then namespace, then mesh,
/// then permissive; a selector in the root namespace is not looked at.
pub(super) struct Modes<'a> {
    mesh: Option<MtlsMode>,
    namespaces: Map<&'a str, Option<MtlsMode>>,
    workloads: Map<&'a str, Vec<&'a PeerAuth>>,
}

impl<'a> Modes<'a> {
    pub(super) fn new(mesh: &'a Mesh) -> Self {
        let mut modes = Self { mesh: None, namespaces: Map::default(), workloads: Map::default() };
        let mut sorted: Vec<&PeerAuth> = mesh.peer_auths.iter().collect();
        sorted.sort_by(|a, b| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)));
        let mut mesh_is_set = false;
        for auth in sorted {
            let namespace = auth.origin.namespace.as_str();
            let is_root = namespace == mesh.settings.root_namespace;
            match (is_root, auth.selector.is_empty()) {
                (true, true) if !mesh_is_set => {
                    mesh_is_set = true;
                    modes.mesh = auth.mode;
                }
                (true, true | false) => {}
                (false, true) => {
                    modes.namespaces.entry(namespace).or_insert(auth.mode);
                }
                (false, false) => modes.workloads.entry(namespace).or_default().push(auth),
            }
        }
        modes
    }

    /// What a workload accepts on a port.
    pub(super) fn of(&self, namespace: &str, labels: &Labels, port: u16) -> MtlsMode {
        let own = self.own(namespace, labels);
        own.and_then(|auth| auth.ports.get(&port).copied().flatten().or(auth.mode))
            .or_else(|| self.namespaces.get(namespace).copied().flatten())
            .or(self.mesh)
            .unwrap_or_default()
    }

    /// The ports of a workload that have a mode of their own.
    pub(super) fn ports(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = u16> {
        self.own(namespace, labels).into_iter().flat_map(|auth| auth.ports.keys().copied())
    }

    fn own(&self, namespace: &str, labels: &Labels) -> Option<&'a PeerAuth> {
        let own = self.workloads.get(namespace).into_iter().flatten();
        own.copied().find(|auth| auth.selector.selects(labels))
    }
}

#[cfg(test)]
mod tests {
    use meshcore_model::{Origin, Selector};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    struct Auth(&'static str, &'static [(&'static str, &'static str)], Option<MtlsMode>);

    fn mesh(auths: &[Auth]) -> Mesh {
        let peer_auths = auths.iter().zip(1..).map(|(auth, index)| PeerAuth {
            origin: Origin {
                namespace: auth.0.into(),
                name: format!("pa-{index}"),
                ..Origin::default()
            },
            selector: Selector(labels(auth.1)),
            mode: auth.2,
            ports: [(9080, Some(MtlsMode::Disable)), (9081, None)].into(),
            created: format!("2024-01-0{index}T00:00:00Z"),
        });
        Mesh { peer_auths: peer_auths.collect(), ..Mesh::default() }
    }

    const WEB: &[(&str, &str)] = &[("app", "web")];

    #[test]
    fn the_narrowest_scope_that_says_something_wins() {
        use MtlsMode::{Disable, Permissive, Strict};
        for (name, auths, port, expected) in [
            ("nothing is permissive", vec![], 80, Permissive),
            ("mesh", vec![Auth("istio-system", &[], Some(Strict))], 80, Strict),
            (
                "namespace over mesh",
                vec![Auth("istio-system", &[], Some(Strict)), Auth("prod", &[], Some(Permissive))],
                80,
                Permissive,
            ),
            (
                "unset inherits",
                vec![Auth("istio-system", &[], Some(Strict)), Auth("prod", &[], None)],
                80,
                Strict,
            ),
            (
                "workload over namespace",
                vec![Auth("prod", &[], Some(Disable)), Auth("prod", WEB, Some(Strict))],
                80,
                Strict,
            ),
            ("port over workload", vec![Auth("prod", WEB, Some(Strict))], 9080, Disable),
            ("an unset port inherits", vec![Auth("prod", WEB, Some(Strict))], 9081, Strict),
            ("ports need a selector", vec![Auth("prod", &[], Some(Strict))], 9080, Strict),
            ("other labels", vec![Auth("prod", &[("app", "db")], Some(Strict))], 80, Permissive),
            (
                "a selector in the root namespace is ignored",
                vec![Auth("istio-system", WEB, Some(Strict))],
                80,
                Permissive,
            ),
            (
                "the oldest of a level wins",
                vec![Auth("prod", &[], Some(Strict)), Auth("prod", &[], Some(Disable))],
                80,
                Strict,
            ),
            ("another namespace", vec![Auth("test", &[], Some(Strict))], 80, Permissive),
        ] {
            let mesh = mesh(&auths);
            assert_eq!(Modes::new(&mesh).of("prod", &labels(WEB), port), expected, "{name}");
        }
    }
}
