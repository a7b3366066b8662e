//! The pages of the control thread.

use meshcore_http::{Method, RequestHead};
use meshcore_telemetry::TextFormat;

use super::http::Response;
use super::{Control, describe};
use crate::proxy::Phase;

/// Which listener a page is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// 15000: everything about this sidecar; loopback.
    Admin,
    /// 15021: whether it is ready.
    Health,
    /// 15090: metrics for Prometheus.
    Metrics,
}

const HELP: &str = "\
GET  /ready              200 when this sidecar takes requests
GET  /status             what is in force and how it fares
GET  /config_dump        the snapshot in force, with the origin of everything
GET  /clusters           clusters with their endpoints and health
GET  /certs              our certificate and whom we trust
GET  /listeners          where this sidecar listens
GET  /stats              metrics, as text
GET  /stats/prometheus   metrics, for Prometheus
GET  /server_info        version, state, uptime
GET  /logging            level of the log
POST /logging?level=L    changes it: error, warning, info, debug
POST /drain_listeners    stops accepting, lets requests end, then ends the process
POST /quitquitquit       the same
POST /reopen_logs        opens the access log by its name again
";

impl Page {
    /// Answers a request to this listener.
    pub(super) async fn answer(self, control: &Control, head: &RequestHead) -> Response {
        let path = head.path();
        match (self, head.method(), path) {
            (_, Method::Get | Method::Head, b"/ready" | b"/healthz/ready") => ready(control),
            (
                Self::Metrics | Self::Admin,
                Method::Get | Method::Head,
                b"/stats/prometheus" | b"/metrics",
            ) => metrics(control).await,
            (Self::Admin, Method::Get | Method::Head, _) => read(control, path).await,
            (Self::Admin, Method::Post, _) => write(control, head).await,
            (Self::Health | Self::Metrics | Self::Admin, _, _) => not_found(),
        }
    }
}

fn ready(control: &Control) -> Response {
    match control.state() {
        "ready" => Response::text(200, "ready\n"),
        other => Response::text(503, format!("{other}\n")),
    }
}

/// Native metrics, and what Python adds to them if it does so in time.
async fn metrics(control: &Control) -> Response {
    let mut body = Vec::with_capacity(64 * 1024);
    control.shared.registry.render(TextFormat::Prometheus, &mut body);
    body.extend_from_slice(&control.shared.hooks.exposition());
    if let Some(discovery) = &control.shared.discovery {
        body.extend_from_slice(&discovery.exposition());
    }
    let added = control.ask_python(|hooks| hooks.scrape()).await;
    body.extend_from_slice(&added.unwrap_or_default());
    Response { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
}

async fn read(control: &Control, path: &[u8]) -> Response {
    match path {
        b"/" | b"/help" => Response::text(200, HELP),
        b"/status" | b"/server_info" => Response::json(&control.status()),
        b"/config_dump" => Response::json(&describe::snapshot(&control.shared)),
        b"/clusters" => Response::json(&describe::clusters(&control.shared)),
        b"/certs" => Response::json(&describe::certificate(&control.shared)),
        b"/listeners" => Response::json(&describe::listeners(&control.shared)),
        b"/stats" => metrics(control).await,
        b"/logging" => log_level(control, None).await,
        _ => not_found(),
    }
}

async fn write(control: &Control, head: &RequestHead) -> Response {
    match head.path() {
        b"/drain_listeners" | b"/quitquitquit" | b"/drain" => {
            control.advance(Phase::Draining);
            Response::text(200, "draining\n")
        }
        b"/reopen_logs" => {
            control.reopen_logs();
            Response::text(200, "reopened\n")
        }
        b"/logging" => {
            let query = head.query().and_then(|query| std::str::from_utf8(query).ok());
            let level = query.and_then(|query| query.strip_prefix("level="));
            match level {
                Some(level @ ("error" | "warning" | "info" | "debug")) => {
                    log_level(control, Some(level.to_owned())).await
                }
                Some(_) | None => {
                    Response::text(400, "level is one of error, warning, info, debug\n")
                }
            }
        }
        _ => not_found(),
    }
}

/// The level of the log; sets it first, if one is given.
async fn log_level(control: &Control, set: Option<String>) -> Response {
    match control.ask_python(move |hooks| hooks.log_level(set.as_deref())).await {
        Some(level) => Response::text(200, format!("{level}\n")),
        None => Response::text(503, "Python is busy, ask again\n"),
    }
}

fn not_found() -> Response {
    Response::text(404, "not here; GET / lists what is\n")
}
