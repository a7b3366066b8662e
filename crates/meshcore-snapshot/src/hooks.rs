//! Which Python hooks a request meets.

use std::sync::Arc;

use meshcore_model::{Hook, HookStage};

/// The hooks of every stage, in the order they were registered.
#[derive(Debug, Default)]
pub struct Hooks {
    route: Vec<Arc<SnapshotHook>>,
    authorize: Vec<Arc<SnapshotHook>>,
    on_request: Vec<Arc<SnapshotHook>>,
    on_response: Vec<Arc<SnapshotHook>>,
    telemetry: Vec<Arc<SnapshotHook>>,
}

/// A hook with its filters.
#[derive(Debug)]
pub struct SnapshotHook {
    /// The hook.
    pub hook: Arc<Hook>,
    hosts: Vec<HostFilter>,
}

#[derive(Debug)]
enum HostFilter {
    Exact(Box<[u8]>),
    /// With its leading dot.
    Suffix(Box<[u8]>),
    Any,
}

impl Hooks {
    pub(crate) fn new(hooks: &[Hook]) -> Self {
        let mut all = Self::default();
        for hook in hooks {
            let hosts = hook.hosts.iter().map(|host| HostFilter::new(host)).collect();
            let stage = match hook.stage {
                HookStage::Route => &mut all.route,
                HookStage::Authorize => &mut all.authorize,
                HookStage::OnRequest => &mut all.on_request,
                HookStage::OnResponse => &mut all.on_response,
                HookStage::Telemetry => &mut all.telemetry,
            };
            stage.push(Arc::new(SnapshotHook { hook: Arc::new(hook.clone()), hosts }));
        }
        all
    }

    /// All hooks of a stage.
    pub fn of(&self, stage: HookStage) -> &[Arc<SnapshotHook>] {
        match stage {
            HookStage::Route => &self.route,
            HookStage::Authorize => &self.authorize,
            HookStage::OnRequest => &self.on_request,
            HookStage::OnResponse => &self.on_response,
            HookStage::Telemetry => &self.telemetry,
        }
    }

    /// The hooks of a stage that a request meets. `host` is without its port.
    pub fn for_request<'a>(
        &'a self,
        stage: HookStage,
        host: &'a [u8],
        path: &'a [u8],
        method: &'a [u8],
    ) -> impl Iterator<Item = &'a Arc<SnapshotHook>> + 'a {
        self.of(stage).iter().filter(move |hook| hook.meets(host, path, method))
    }
}

impl SnapshotHook {
    /// Whether a request meets the hook. `host` is without its port.
    pub fn meets(&self, host: &[u8], path: &[u8], method: &[u8]) -> bool {
        let hook = &self.hook;
        (self.hosts.is_empty() || self.hosts.iter().any(|filter| filter.is_match(host)))
            && (hook.path_prefixes.is_empty()
                || hook.path_prefixes.iter().any(|prefix| path.starts_with(prefix.as_bytes())))
            && (hook.methods.is_empty()
                || hook.methods.iter().any(|wanted| wanted.as_bytes() == method))
    }
}

impl HostFilter {
    fn new(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some("") => Self::Any,
            Some(suffix) => Self::Suffix(suffix.as_bytes().into()),
            None => Self::Exact(host.into_bytes().into()),
        }
    }

    fn is_match(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => host.eq_ignore_ascii_case(exact),
            Self::Suffix(suffix) => {
                let front = host.len().saturating_sub(suffix.len());
                front > 0 && host.get(front..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            Self::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshcore_model::{HookAnswer, HookMode};

    use super::*;

    fn hook(id: u32, hosts: &[&str], paths: &[&str], methods: &[&str]) -> Hook {
        let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Hook {
            id,
            name: format!("plugin.hook{id}"),
            origin: "plugin.py:1".into(),
            stage: HookStage::Authorize,
            hosts: strings(hosts),
            path_prefixes: strings(paths),
            methods: strings(methods),
            reads: None,
            cache_ms: 0,
            timeout_ms: 100,
            on_error: HookAnswer::Deny,
            mode: HookMode::Inline,
        }
    }

    #[test]
    fn a_request_meets_the_hooks_of_its_host_path_and_method() {
        let hooks = Hooks::new(&[
            hook(0, &[], &[], &[]),
            hook(1, &["Reviews.prod"], &[], &[]),
            hook(2, &["*.prod"], &["/a"], &["GET", "PUT"]),
            hook(3, &["*"], &["/b"], &[]),
        ]);
        let met = |stage, host: &str, path: &str, method: &str| -> Vec<u32> {
            hooks
                .for_request(stage, host.as_bytes(), path.as_bytes(), method.as_bytes())
                .map(|hook| hook.hook.id)
                .collect()
        };
        assert_eq!(met(HookStage::Authorize, "reviews.prod", "/a/1", "GET"), [0, 1, 2]);
        assert_eq!(met(HookStage::Authorize, "Reviews.PROD", "/a/1", "POST"), [0, 1]);
        assert_eq!(met(HookStage::Authorize, "other.Prod", "/a", "GET"), [0, 2]);
        assert_eq!(met(HookStage::Authorize, ".prod", "/b", "POST"), [0, 3]);
        assert_eq!(met(HookStage::Authorize, "other", "/", "GET"), [0]);
        assert!(met(HookStage::Route, "reviews.prod", "/a", "GET").is_empty());
    }
}
