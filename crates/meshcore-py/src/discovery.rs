//! The client of a control plane as an object: what the sidecar is, and what it needs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meshcore_discovery::certificates::Secure;
use meshcore_discovery::client::{Asked, Client, Connector, Health, Held, Options, Origin, Plain};
use meshcore_discovery::client::{Sink, Unfit, node};
use meshcore_model::{AccessLog, Identity, Mesh, Node, Resource};
use meshcore_proxy::discovery::{Discovered, Discovery as Asks};
use meshcore_proxy::{ApplyError, Proxy};
use meshcore_snapshot::{Rejected, Snapshot};
use meshcore_tls::{MeshTls, MeshTlsOptions};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::materials::Materials;
use crate::proxy::read;

/// Python's signal handlers run at least this often while it waits.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// A client of a control plane, and how long requests wait for its answers.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Discovery {
    client: Arc<Client>,
    wait: Duration,
    /// What it proves who it is with; `None` in plain text.
    tls: Option<Arc<MeshTls>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsModel {
    address: String,
    is_plain: bool,
    /// Identity of the control plane, which it has to prove; none in plain text.
    control: Option<Identity>,
    node: NodeModel,
    token: Option<PathBuf>,
    is_gateway: bool,
    access_log: Option<AccessLog>,
    wait_ms: u64,
    unused_ms: u64,
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeModel {
    id: String,
    cluster: String,
    metadata: Map<String, Value>,
    locality: String,
    version: String,
}

// === impl Discovery ===

#[pymethods]
impl Discovery {
    /// Reads the options (JSON) and what was kept from before, and connects: over TLS with
    /// `materials`, in plain text only where the options say so.
    #[new]
    #[pyo3(signature = (options, materials = None))]
    fn new(py: Python<'_>, options: &[u8], materials: Option<&Materials>) -> PyResult<Self> {
        let options: OptionsModel = read("options", options)?;
        let tls = materials.map(|one| MeshTls::new(one.to_native(), MeshTlsOptions::default()));
        let address = options.address.clone();
        let connector: Arc<dyn Connector> = match (tls.clone(), options.control) {
            (Some(tls), Some(control)) if !options.is_plain => {
                Arc::new(Secure { address, tls, control })
            }
            (None, None) if options.is_plain => Arc::new(Plain { address }),
            (Some(_) | None, Some(_) | None) => return Err(Error::NoProof.into()),
        };
        let wait = Duration::from_millis(options.wait_ms);
        let who = options.node;
        let node = node((who.id, who.cluster), who.metadata, &who.locality, who.version);
        let started = py.detach(|| {
            Client::start(Options {
                connector,
                address: options.address,
                node,
                token: options.token,
                is_gateway: options.is_gateway,
                access_log: options.access_log,
                unused: Duration::from_millis(options.unused_ms),
                file: options.file,
            })
        });
        Ok(Self { client: Arc::new(started.map_err(Error::Client)?), wait, tls })
    }

    /// Proves who it is with another certificate, and trusts others, from the next connection on.
    fn rotate(&self, py: Python<'_>, materials: &Materials) {
        if let Some(tls) = &self.tls {
            py.detach(|| tls.rotate(materials.to_native()));
        }
    }

    /// Whom the mesh trusts, as JSON; `None` if the control plane has not said it.
    fn trust(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let trust = |held: &Held| match held.get("trust/mesh") {
            Some(Resource::Trust(trust)) => Some(json!(trust).to_string()),
            Some(_) | None => None,
        };
        Ok(self.with(py, trust)?)
    }

    /// Waits until it is known what the sidecar is, at most `seconds`: `control` when the control
    /// plane has said so, `disk` when it did before, `None` when neither.
    fn first(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<&'static str>> {
        let mut left = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        loop {
            let slice = left.min(SIGNALS_EVERY);
            let first = py.detach(|| self.client.first(slice));
            py.check_signals()?;
            left = left.saturating_sub(slice);
            match first {
                Some(Origin::ControlPlane) => return Ok(Some("control")),
                Some(Origin::Disk) if left.is_zero() => return Ok(Some("disk")),
                None if left.is_zero() => return Ok(None),
                Some(Origin::Disk) | None => {}
            }
        }
    }

    /// What the control plane says of the sidecar itself, as JSON: settings, services, workloads,
    /// workload groups.
    fn about(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.with(py, |held| about(held).to_string())?)
    }

    /// Tries what is held with a node (JSON); returns the mesh that can be put in force, as JSON.
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn try_out<'py>(&self, py: Python<'py>, node: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
        let node: Node = read("node", &node)?;
        let tried = py.detach(|| {
            self.client.try_out(Trial { node }).ok_or(Error::Stopped)?;
            self.client.with(|held| serde_json::to_vec(&held.mesh())).ok_or(Error::Stopped)
        })?;
        let mesh = tried.map_err(|error| Error::Json { what: "mesh", error })?;
        Ok(PyBytes::new(py, &mesh))
    }

    /// Tells the health of the application: `None` is healthy, else why it is not.
    fn tell(&self, why: Option<String>) {
        self.client.tell(why.map_or(Health::Healthy, Health::Unhealthy));
    }

    /// Says that the workload leaves, and is not to be called any more.
    fn leave(&self) {
        self.client.tell(Health::Leaving);
    }

    /// How it fares, as JSON.
    fn status(&self) -> PyResult<String> {
        let status = serde_json::to_string(&self.client.news().status());
        Ok(status.map_err(|error| Error::Json { what: "status", error })?)
    }

    /// What people are to be told since the last call: whether it is bad, and a line.
    fn take_notices(&self) -> Vec<(bool, String)> {
        let notices = self.client.news().take_notices();
        notices.into_iter().map(|notice| (notice.is_bad, notice.text)).collect()
    }

    /// Ends, and waits for its thread.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.client.stop());
    }
}

impl Discovery {
    /// What the data plane asks.
    pub(crate) fn on_demand(&self) -> Arc<dyn Asks> {
        Arc::new(OnDemand { client: Arc::clone(&self.client), wait: self.wait })
    }

    /// Puts every change in force in the data plane from now on.
    pub(crate) fn follow(&self, proxy: &Arc<Proxy>) {
        self.client.follow(Box::new(InForce { proxy: Arc::downgrade(proxy) }));
    }

    /// Runs a function with the mesh that is held, in turn with its changes.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        py: Python<'_>,
        function: impl FnOnce(&Held) -> T + Send + 'static,
    ) -> Result<T, Error> {
        py.detach(|| self.client.with(|held| function(held))).ok_or(Error::Stopped)
    }
}

/// What the answer to `self` names.
fn about(held: &Held) -> Value {
    let names = held.found("self").unwrap_or_default();
    let (mut services, mut workloads, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match held.get(name) {
            Some(Resource::Service(service)) => services.push(json!(service)),
            Some(Resource::Workload(workload)) => workloads.push(json!(workload)),
            Some(Resource::WorkloadGroup(group)) => groups.push(json!(group)),
            Some(
                Resource::Settings(_)
                | Resource::Route(_)
                | Resource::TrafficPolicy(_)
                | Resource::PeerAuth(_)
                | Resource::Authorization(_)
                | Resource::Gateway(_)
                | Resource::Credential(_)
                | Resource::Trust(_)
                | Resource::Found(_),
            )
            | None => {}
        }
    }
    json!({
        "revision": held.revision(),
        "settings": held.mesh().settings,
        "services": services,
        "workloads": workloads,
        "groups": groups,
    })
}

/// Whether a mesh could be put in force for a node.
#[derive(Debug)]
struct Trial {
    node: Node,
}

impl Sink for Trial {
    fn apply(&mut self, mesh: &Mesh) -> Result<(), Unfit> {
        Snapshot::compile(mesh, &self.node, &[], None).map(drop).map_err(unfit)
    }

    fn carried(&self) -> HashMap<String, u64> {
        HashMap::new()
    }
}

/// Puts meshes in force in a data plane, as long as there is one.
#[derive(Debug)]
struct InForce {
    proxy: Weak<Proxy>,
}

impl Sink for InForce {
    fn apply(&mut self, mesh: &Mesh) -> Result<(), Unfit> {
        let Some(proxy) = self.proxy.upgrade() else { return Ok(()) };
        proxy.apply(mesh, None).map(drop).map_err(|error| match error {
            ApplyError::Rejected(rejected) => unfit(rejected),
            ApplyError::Gateway { ref origin, .. } => {
                Unfit { origin: Some(origin.clone()), reason: error.to_string() }
            }
            ApplyError::Stale(_) | ApplyError::AccessLog(_) => {
                Unfit { origin: None, reason: error.to_string() }
            }
        })
    }

    fn carried(&self) -> HashMap<String, u64> {
        self.proxy.upgrade().map(|proxy| proxy.carried()).unwrap_or_default()
    }
}

fn unfit(rejected: Rejected) -> Unfit {
    let reason = rejected.to_string();
    Unfit { origin: Some(rejected.origin), reason }
}

/// Asks for what requests need.
#[derive(Debug)]
struct OnDemand {
    client: Arc<Client>,
    wait: Duration,
}

impl Asks for OnDemand {
    fn ask_host(&self, host: &str) -> Discovered {
        match self.client.ask(&format!("host/{host}")) {
            Asked::Answered { is_there: true } => Discovered::InForce,
            Asked::Answered { is_there: false } | Asked::Refused => Discovered::Unknown,
            // Nobody would answer: who waits anyway would wait for nothing, each time.
            Asked::Waiting(_) if !self.client.news().is_connected(self.wait) => Discovered::Unknown,
            Asked::Waiting(mut answered) => Discovered::Coming {
                answer: Box::pin(async move {
                    let _forgotten = answered.wait_for(|is_answered| *is_answered).await;
                }),
                within: self.wait,
            },
        }
    }

    fn ask_peer(&self, address: IpAddr) {
        self.client.ask(&format!("address/{}", address.to_canonical()));
    }

    fn status(&self) -> Value {
        serde_json::to_value(self.client.news().status()).unwrap_or(Value::Null)
    }

    fn exposition(&self) -> Vec<u8> {
        self.client.news().exposition()
    }
}
