//! What the process counts about itself: names, help and labels, a table each.

/// A counter of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Counter {
    /// Connections accepted from the application.
    OutboundConnections,
    /// Connections accepted for the application.
    InboundConnections,
    /// HBONE connections accepted.
    HboneConnections,
    /// Connections accepted by listeners of a gateway.
    GatewayConnections,
    /// Connections refused for want of descriptors or memory.
    ConnectionsRefused,
    /// Connections cut off for want of memory.
    ConnectionsCut,
    /// Questions by DNS.
    DnsQueries,
    /// Questions that the resolvers of the host were asked.
    DnsForwarded,
    /// Questions that nobody answered.
    DnsFailed,
    /// TLS handshakes finished as a client.
    ClientHandshakes,
    /// TLS handshakes finished as a server.
    ServerHandshakes,
    /// TLS handshakes, of either side, that resumed a session.
    HandshakesResumed,
    /// Connections opened to upstreams.
    UpstreamConnectionsOpened,
    /// Requests that found an open connection to their upstream.
    UpstreamConnectionsReused,
    /// Connections to upstreams that could not be made.
    UpstreamConnectionsFailed,
    /// Requests tried again.
    Retries,
    /// Requests not tried again because the budget for it was used up.
    RetriesRefused,
    /// Requests refused because a pool was full.
    PoolOverflows,
    /// Endpoints taken out because they failed.
    EndpointsEjected,
    /// Lines of the access log handed over.
    AccessLogLines,
    /// Lines of the access log dropped because the queue was full.
    AccessLogDropped,
    /// Lines of the access log lost because the file could not be written.
    AccessLogFailed,
    /// Times that the access log's file could not be opened anew.
    AccessLogReopenFailures,
    /// Configurations put in force.
    ConfigApplied,
    /// Configurations refused.
    ConfigRejected,
    /// Certificates renewed.
    CertificatesRotated,
    /// Connections closed gracefully while draining.
    DrainedConnections,
    /// Connections cut off at the end of draining.
    DrainCutConnections,
    /// Tasks that panicked; each closed its connection only.
    Panics,
    /// Requests and connections counted in the series `overflow`, for want of room.
    SeriesFolded,
}

/// A number of a worker that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Gauge {
    /// Connections from clients that are open.
    ConnectionsOpen,
    /// Requests in flight.
    RequestsActive,
    /// Requests that wait for a connection to their upstream.
    RequestsPending,
    /// Connections to upstreams that are open.
    UpstreamConnectionsOpen,
}

/// A number of the process that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// Revision of the configuration in force.
    ConfigRevision,
    /// When the workload's certificate expires, in seconds since 1970.
    CertificateExpiry,
    /// 1 while the process drains.
    Draining,
    /// Worker threads.
    Workers,
    /// How short memory is: 0 not at all, 1 nothing new is taken on, 2 connections are cut off.
    MemoryPressure,
}

/// A counter of a worker with one label whose values are not known beforehand, but few: at
/// most 256, and `other` beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Labelled {
    /// TLS handshakes that failed, by reason.
    HandshakesFailed,
    /// Requests refused before they were routed, by reason (`Kind::label`).
    RequestsRejected,
    /// Requests denied, by the policy that denied.
    RequestsDenied,
    /// Hook calls, by hook.
    HookCalls,
    /// Hook calls that raised, by hook.
    HookErrors,
    /// Hook calls that took too long, by hook.
    HookTimeouts,
    /// Decisions remembered, so that a hook was not called, by hook.
    HookCacheHits,
}

/// Name and help of a family, and the label of one of its samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) label: Option<(&'static str, &'static str)>,
}

const fn named(name: &'static str, help: &'static str) -> Named {
    Named { name, help, label: None }
}

impl Counter {
    /// All, those of one family side by side.
    pub(super) const ALL: [Self; 30] = [
        Self::OutboundConnections,
        Self::InboundConnections,
        Self::HboneConnections,
        Self::GatewayConnections,
        Self::ConnectionsRefused,
        Self::ConnectionsCut,
        Self::DnsQueries,
        Self::DnsForwarded,
        Self::DnsFailed,
        Self::ClientHandshakes,
        Self::ServerHandshakes,
        Self::HandshakesResumed,
        Self::UpstreamConnectionsOpened,
        Self::UpstreamConnectionsReused,
        Self::UpstreamConnectionsFailed,
        Self::Retries,
        Self::RetriesRefused,
        Self::PoolOverflows,
        Self::EndpointsEjected,
        Self::AccessLogLines,
        Self::AccessLogDropped,
        Self::AccessLogFailed,
        Self::AccessLogReopenFailures,
        Self::ConfigApplied,
        Self::ConfigRejected,
        Self::CertificatesRotated,
        Self::DrainedConnections,
        Self::DrainCutConnections,
        Self::Panics,
        Self::SeriesFolded,
    ];

    #[expect(clippy::too_many_lines, reason = "a table, one entry per variant")]
    pub(super) const fn named(self) -> Named {
        match self {
            Self::OutboundConnections => accepted("outbound"),
            Self::InboundConnections => accepted("inbound"),
            Self::HboneConnections => accepted("hbone"),
            Self::GatewayConnections => accepted("gateway"),
            Self::ConnectionsRefused => named(
                "meshcore_connections_refused_total",
                "Connections refused for want of descriptors or memory.",
            ),
            Self::ConnectionsCut => {
                named("meshcore_connections_cut_total", "Connections cut off for want of memory.")
            }
            Self::DnsQueries => named("meshcore_dns_queries_total", "Questions by DNS."),
            Self::DnsForwarded => named(
                "meshcore_dns_forwarded_total",
                "Questions that the resolvers of the host were asked.",
            ),
            Self::DnsFailed => {
                named("meshcore_dns_failed_total", "Questions that nobody answered.")
            }
            Self::ClientHandshakes => handshakes("client"),
            Self::ServerHandshakes => handshakes("server"),
            Self::HandshakesResumed => named(
                "meshcore_tls_handshakes_resumed_total",
                "TLS handshakes that resumed a session.",
            ),
            Self::UpstreamConnectionsOpened => named(
                "meshcore_upstream_connections_opened_total",
                "Connections opened to upstreams.",
            ),
            Self::UpstreamConnectionsReused => named(
                "meshcore_upstream_connections_reused_total",
                "Requests that found an open connection to their upstream.",
            ),
            Self::UpstreamConnectionsFailed => named(
                "meshcore_upstream_connections_failed_total",
                "Connections to upstreams that could not be made.",
            ),
            Self::Retries => named("meshcore_retries_total", "Requests tried again."),
            Self::RetriesRefused => named(
                "meshcore_retries_refused_total",
                "Requests not tried again because the budget was used up.",
            ),
            Self::PoolOverflows => named(
                "meshcore_pool_overflows_total",
                "Requests refused because a connection pool was full.",
            ),
            Self::EndpointsEjected => named(
                "meshcore_endpoints_ejected_total",
                "Endpoints taken out because they failed.",
            ),
            Self::AccessLogLines => named(
                "meshcore_access_log_lines_total",
                "Lines of the access log handed to the writer.",
            ),
            Self::AccessLogDropped => named(
                "meshcore_access_log_dropped_total",
                "Lines of the access log dropped because the queue was full.",
            ),
            Self::AccessLogFailed => named(
                "meshcore_access_log_failed_total",
                "Lines of the access log lost because the file could not be written.",
            ),
            Self::AccessLogReopenFailures => named(
                "meshcore_access_log_reopen_failures_total",
                "Times that the access log's file could not be opened anew.",
            ),
            Self::ConfigApplied => {
                named("meshcore_config_applied_total", "Configurations put in force.")
            }
            Self::ConfigRejected => {
                named("meshcore_config_rejected_total", "Configurations refused.")
            }
            Self::CertificatesRotated => {
                named("meshcore_certificates_rotated_total", "Certificates renewed.")
            }
            Self::DrainedConnections => drained("finished"),
            Self::DrainCutConnections => drained("cut"),
            Self::Panics => named("meshcore_panics_total", "Tasks that panicked."),
            Self::SeriesFolded => named(
                "meshcore_series_folded_total",
                "Requests and connections counted as overflow because there were too many series.",
            ),
        }
    }
}

const fn accepted(listener: &'static str) -> Named {
    Named {
        name: "meshcore_connections_accepted_total",
        help: "Connections accepted.",
        label: Some(("listener", listener)),
    }
}

const fn handshakes(side: &'static str) -> Named {
    Named {
        name: "meshcore_tls_handshakes_total",
        help: "TLS handshakes finished.",
        label: Some(("side", side)),
    }
}

const fn drained(end: &'static str) -> Named {
    Named {
        name: "meshcore_drained_connections_total",
        help: "Connections closed while draining.",
        label: Some(("end", end)),
    }
}

impl Gauge {
    pub(super) const ALL: [Self; 4] = [
        Self::ConnectionsOpen,
        Self::RequestsActive,
        Self::RequestsPending,
        Self::UpstreamConnectionsOpen,
    ];

    pub(super) const fn named(self) -> Named {
        match self {
            Self::ConnectionsOpen => {
                named("meshcore_connections_open", "Connections from clients that are open.")
            }
            Self::RequestsActive => named("meshcore_requests_active", "Requests in flight."),
            Self::RequestsPending => named(
                "meshcore_requests_pending",
                "Requests that wait for a connection to their upstream.",
            ),
            Self::UpstreamConnectionsOpen => named(
                "meshcore_upstream_connections_open",
                "Connections to upstreams that are open.",
            ),
        }
    }
}

impl Level {
    pub(super) const ALL: [Self; 5] = [
        Self::ConfigRevision,
        Self::CertificateExpiry,
        Self::Draining,
        Self::Workers,
        Self::MemoryPressure,
    ];

    pub(super) const fn named(self) -> Named {
        match self {
            Self::ConfigRevision => {
                named("meshcore_config_revision", "Revision of the configuration in force.")
            }
            Self::CertificateExpiry => named(
                "meshcore_certificate_expiry_timestamp_seconds",
                "When the certificate of the workload expires, in seconds since 1970.",
            ),
            Self::Draining => named("meshcore_draining", "1 while the process drains."),
            Self::Workers => named("meshcore_workers", "Worker threads."),
            Self::MemoryPressure => named(
                "meshcore_memory_pressure",
                "1 while nothing new is taken on for want of memory, 2 while connections are cut.",
            ),
        }
    }
}

impl Labelled {
    pub(super) const ALL: [Self; 7] = [
        Self::HandshakesFailed,
        Self::RequestsRejected,
        Self::RequestsDenied,
        Self::HookCalls,
        Self::HookErrors,
        Self::HookTimeouts,
        Self::HookCacheHits,
    ];

    pub(super) const fn named(self) -> Named {
        match self {
            Self::HandshakesFailed => {
                named("meshcore_tls_handshakes_failed_total", "TLS handshakes that failed.")
            }
            Self::RequestsRejected => named(
                "meshcore_requests_rejected_total",
                "Requests refused before they were routed.",
            ),
            Self::RequestsDenied => {
                named("meshcore_requests_denied_total", "Requests denied by policy.")
            }
            Self::HookCalls => named("meshcore_hook_calls_total", "Hook calls."),
            Self::HookErrors => named("meshcore_hook_errors_total", "Hook calls that raised."),
            Self::HookTimeouts => {
                named("meshcore_hook_timeouts_total", "Hook calls that took too long.")
            }
            Self::HookCacheHits => named(
                "meshcore_hook_cache_hits_total",
                "Decisions remembered, so that a hook was not called.",
            ),
        }
    }

    /// Name of the label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::HandshakesFailed | Self::RequestsRejected => "reason",
            Self::RequestsDenied => "policy",
            Self::HookCalls | Self::HookErrors | Self::HookTimeouts | Self::HookCacheHits => "hook",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_discriminants() {
        // The tables hold one cell per variant, found by its discriminant.
        assert!(Counter::ALL.iter().enumerate().all(|(n, counter)| *counter as usize == n));
        assert!(Gauge::ALL.iter().enumerate().all(|(n, gauge)| *gauge as usize == n));
        assert!(Level::ALL.iter().enumerate().all(|(n, level)| *level as usize == n));
        assert!(Labelled::ALL.iter().enumerate().all(|(n, family)| *family as usize == n));
    }

    #[test]
    fn families_are_named_once_and_well() {
        let mut counters: Vec<_> = Counter::ALL.iter().map(|c| c.named().name).collect();
        counters.dedup();
        counters.extend(Labelled::ALL.iter().map(|f| f.named().name));
        assert!(counters.iter().all(|name| name.ends_with("_total")));
        let others = Gauge::ALL.map(|g| g.named().name).into_iter();
        let others: Vec<_> = others.chain(Level::ALL.map(|l| l.named().name)).collect();
        assert!(others.iter().all(|name| !name.ends_with("_total")));
        counters.extend(others);
        assert!(counters.iter().all(|name| name.starts_with("meshcore_")));
        let all = counters.len();
        counters.sort_unstable();
        counters.dedup();
        assert_eq!(counters.len(), all);
    }
}
