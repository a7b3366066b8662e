//! Sidecars on free ports.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::{Hook, Mesh, Node};
use meshcore_proxy::discovery::Discovery;
use meshcore_proxy::hooks::{HookHost, NoHooks};
use meshcore_proxy::{Options, Proxy, StartError, Taken};
use meshcore_tls::Materials;
use serde_json::{Value, json};

use crate::{MeshBuilder, WITHIN};

/// A running sidecar. It stops at once when it is dropped.
#[derive(Debug)]
pub struct Sidecar {
    proxy: Proxy,
}

/// A sidecar before its start.
#[derive(Debug)]
pub struct SidecarBuilder {
    node: Value,
    mesh: Mesh,
    materials: Option<Materials>,
    hooks: Vec<Hook>,
    host: Arc<dyn HookHost>,
    options: Options,
    taken: Vec<(String, OwnedFd)>,
}

const ANY: &str = "127.0.0.1:0";

impl Sidecar {
    /// The sidecar of the workload `name` in the namespace `default`: one worker, an admin
    /// listener, no other, an empty mesh, no certificate.
    pub fn of(name: &str) -> SidecarBuilder {
        SidecarBuilder {
            node: json!({
                "name": name, "namespace": "default",
                "labels": {"app": name, "version": "v1"},
                "identity": format!("spiffe://cluster.local/ns/default/sa/{name}"),
                "address": "127.0.0.1", "ports": [], "listen": {"admin": ANY},
            }),
            mesh: MeshBuilder::new().build(1),
            materials: None,
            hooks: Vec::new(),
            host: Arc::new(NoHooks),
            options: Options {
                workers: 1,
                drain: Duration::from_secs(5),
                version: "test".to_owned(),
                discovery: None,
            },
            taken: Vec::new(),
        }
    }

    /// A sidecar that only carries calls into `mesh`, in plain text.
    pub fn outbound_to(mesh: &MeshBuilder) -> Self {
        Self::of("web").outbound().mesh(mesh).start()
    }

    /// The data plane itself.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Where the application's calls come in.
    pub fn outbound(&self) -> SocketAddr {
        self.proxy.addresses().outbound.expect("no outbound listener")
    }

    /// Where calls to the application come in.
    pub fn inbound(&self) -> SocketAddr {
        self.proxy.addresses().inbound.expect("no inbound listener")
    }

    /// Where tunnels to the application come in.
    pub fn hbone(&self) -> SocketAddr {
        self.proxy.addresses().hbone.expect("no HBONE listener")
    }

    /// Where the admin pages are.
    pub fn admin(&self) -> SocketAddr {
        self.proxy.addresses().admin.expect("no admin listener")
    }

    /// Puts a mesh in force.
    pub fn apply(&self, mesh: &MeshBuilder, revision: u64) {
        self.proxy.apply(&mesh.build(revision), None).unwrap();
    }

    /// All metrics, as text.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.proxy.metrics(false)).unwrap()
    }

    /// The line of a series with this name, all of these labels, and this value. It is waited
    /// for: a request is counted after its answer.
    pub fn series(&self, name: &str, labels: &[(&str, &str)], value: u64) -> String {
        let deadline = Instant::now() + WITHIN;
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let end = format!(" {value}");
        let is_it = |line: &&str| {
            let is_named = line
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '));
            is_named && line.ends_with(&end) && labels.iter().all(|label| line.contains(label))
        };
        loop {
            let metrics = self.metrics();
            if let Some(line) = metrics.lines().find(is_it) {
                return line.to_owned();
            }
            if Instant::now() >= deadline {
                let named: Vec<&str> =
                    metrics.lines().filter(|line| line.starts_with(name)).collect();
                panic!("no {name} with {labels:?} and value {value}, but {named:#?}");
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// The sum of all series of this name with all of these labels, now.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let metrics = self.metrics();
        let values = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with(['{', ' ']) && labels.iter().all(|one| rest.contains(one));
            let value = rest.rsplit(' ').next()?;
            is_it.then(|| value.parse::<u64>().unwrap())
        });
        values.sum()
    }

    /// Waits until all threads have ended.
    pub fn wait_until_ended(&self) {
        let deadline = Instant::now() + WITHIN;
        while !self.proxy.has_ended() {
            assert!(Instant::now() < deadline, "still running");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl SidecarBuilder {
    /// It listens for its application's calls.
    #[must_use]
    pub fn outbound(self) -> Self {
        self.listen("outbound", ANY)
    }

    /// It listens for calls to the application, whose port `number` is at `application`.
    #[must_use]
    pub fn inbound(mut self, number: u16, application: SocketAddr) -> Self {
        let port = json!({"number": number, "application": application});
        self.node["ports"].as_array_mut().unwrap().push(port);
        self.listen("inbound", ANY)
    }

    /// It listens for tunnels.
    #[must_use]
    pub fn hbone(self) -> Self {
        self.listen("hbone", ANY)
    }

    /// It listens for `purpose` at `address`.
    #[must_use]
    pub fn listen(mut self, purpose: &str, address: &str) -> Self {
        self.node["listen"][purpose] = json!(address);
        self
    }

    /// The workload's address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.node["address"] = json!(address);
        self
    }

    /// The mesh it begins with, as revision 1.
    #[must_use]
    pub fn mesh(mut self, mesh: &MeshBuilder) -> Self {
        self.mesh = mesh.build(1);
        self
    }

    /// Its certificate, and whom it trusts.
    #[must_use]
    pub fn materials(mut self, materials: Materials) -> Self {
        self.materials = Some(materials);
        self
    }

    /// Its hooks, and who answers them.
    #[must_use]
    pub fn hooks(mut self, hooks: Vec<Hook>, host: Arc<dyn HookHost>) -> Self {
        self.hooks = hooks;
        self.host = host;
        self
    }

    /// Worker threads.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    /// How long requests may go on after a drain began.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = drain;
        self
    }

    /// It asks for hosts that its mesh does not have.
    #[must_use]
    pub fn discovery(mut self, discovery: Arc<dyn Discovery>) -> Self {
        self.options.discovery = Some(discovery);
        self
    }

    /// It takes the sockets of another one over, for the listeners it was told of.
    #[must_use]
    pub fn take_over(mut self, other: &Sidecar) -> Self {
        self.taken = other.proxy.sockets().unwrap();
        self
    }

    /// Starts it.
    pub fn start(self) -> Sidecar {
        self.try_start().unwrap()
    }

    /// Starts it, or says why it does not start.
    ///
    /// # Errors
    ///
    /// As [`Proxy::start`].
    pub fn try_start(self) -> Result<Sidecar, StartError> {
        let node: Node = serde_json::from_value(self.node).unwrap();
        let taken = self.taken.iter().map(|(purpose, socket)| Taken {
            purpose: purpose.clone(),
            descriptor: socket.as_raw_fd(),
        });
        let taken: Vec<_> = taken.collect();
        let (hooks, materials, options) = (self.hooks, self.materials, self.options);
        let proxy = Proxy::start(&self.mesh, &node, hooks, materials, options, self.host, &taken)?;
        Ok(Sidecar { proxy })
    }
}
