//! Workloads that register themselves: `WorkloadGroup`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Labels, Origin};

/// What all workloads that register with a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadGroup {
    /// Document it was made of.
    pub origin: Origin,
    /// Name that workloads register with.
    pub name: String,
    /// Namespace of the group and of its workloads.
    pub namespace: String,
    /// Labels of its workloads.
    #[serde(default)]
    pub labels: Labels,
    /// Ports of its workloads by name, where they do not say other ones.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Service account of its workloads: only this one may register.
    pub service_account: String,
    /// `region/zone/subzone` of workloads that do not say where they are.
    #[serde(default)]
    pub locality: String,
    /// Share of traffic among the endpoints of a service.
    #[serde(default = "one")]
    pub weight: u32,
    /// How the sidecar finds out whether the application is ready.
    #[serde(default)]
    pub probe: Option<Probe>,
}

/// How often the application is asked whether it is ready, and what for.
///
/// Source: `ReadinessProbe` of Istio's `WorkloadGroup`, whose defaults these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Before the first check.
    #[serde(default)]
    pub initial_delay_ms: u64,
    /// Limit for one check.
    #[serde(default = "second_ms")]
    pub timeout_ms: u64,
    /// From one check to the next.
    #[serde(default = "ten_seconds_ms")]
    pub period_ms: u64,
    /// Checks in a row after which it is ready again.
    #[serde(default = "one")]
    pub success_threshold: u32,
    /// Failures in a row after which it is not ready.
    #[serde(default = "three")]
    pub failure_threshold: u32,
    /// The check.
    pub check: ProbeCheck,
}

/// One check of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProbeCheck {
    /// A GET that is answered with 200 to 399.
    Http {
        /// Path with its query.
        path: String,
        /// Port.
        port: u16,
        /// Host to connect to; `None` is the workload itself.
        #[serde(default)]
        host: Option<String>,
        /// `http` or `https`.
        #[serde(default = "http")]
        scheme: String,
        /// Further fields of the request's header.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// A connection that is made.
    Tcp {
        /// Port.
        port: u16,
        /// Host to connect to; `None` is the workload itself.
        #[serde(default)]
        host: Option<String>,
    },
    /// A command that ends with 0.
    Exec {
        /// The program and its arguments; no shell.
        command: Vec<String>,
    },
    /// gRPC's health service says `SERVING`.
    Grpc {
        /// Port.
        port: u16,
        /// Name of the service that is asked about; empty is the server.
        #[serde(default)]
        service: String,
    },
}

const fn one() -> u32 {
    1
}

const fn three() -> u32 {
    3
}

const fn second_ms() -> u64 {
    1_000
}

const fn ten_seconds_ms() -> u64 {
    10_000
}

fn http() -> String {
    "http".into()
}
