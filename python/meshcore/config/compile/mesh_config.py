"""MeshConfig to settings."""

from meshcore.config.compile.retries import retries_of
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.resources import AccessLog, AccessLogFormat, Settings

_PATHS = {
    "DEFAULT": "base",
    "NONE": "none",
    "BASE": "base",
    "MERGE_SLASHES": "merge_slashes",
    "DECODE_AND_MERGE_SLASHES": "decode_and_merge_slashes",
}


def settings_of(config: MeshConfig) -> Settings:
    """Returns the settings of the whole mesh."""
    return {
        "trust_domain": config.trust_domain,
        "trust_domain_aliases": config.trust_domain_aliases,
        "domain": config.domain,
        "root_namespace": config.root_namespace,
        "outbound_policy": (
            "allow_any" if config.outbound_traffic_policy.mode == "ALLOW_ANY" else "registry_only"
        ),
        "auto_mtls": config.enable_auto_mtls,
        "connect_timeout_ms": config.connect_timeout,
        "detection_timeout_ms": config.protocol_detection_timeout,
        "default_retries": retries_of(config.default_http_retry_policy),
        "path_normalization": _PATHS[config.path_normalization.normalization],  # type: ignore[typeddict-item]
        "access_log": _access_log(config),
    }


def access_log_format(config: MeshConfig) -> AccessLogFormat:
    """Returns the form of an access log, which holds wherever the log goes."""
    if config.access_log_encoding == "JSON":
        return "json"
    return {"text": config.access_log_format or None}


def _access_log(config: MeshConfig) -> AccessLog | None:
    if not config.access_log_file:
        return None
    return {"path": config.access_log_file, "format": access_log_format(config)}
