"""Istio's `retries` to the model's."""

from meshcore.config.models.http_action import RETRY_ON, HttpRetry
from meshcore.config.resources import Retries

# What is tried again when a document does not say. Source: Istio's default retry policy
# (pilot/pkg/networking/core/route/retry), which has had no status since 1.24.
DEFAULT_ON = ("connect-failure", "refused-stream", "unavailable", "cancelled")
DEFAULT_ATTEMPTS = 2
# Base of the back-off. Source: as above.
DEFAULT_BACKOFF_MS = 25


def default_retries() -> Retries:
    """Returns what holds when neither rule nor mesh says anything."""
    return {
        "attempts": DEFAULT_ATTEMPTS,
        "per_try_timeout_ms": None,
        "on": list(DEFAULT_ON),
        "statuses": [],
        "backoff_ms": DEFAULT_BACKOFF_MS,
        "avoid_previous_hosts": True,
    }


def retries_of(written: HttpRetry | None) -> Retries:
    """Returns the retries of a rule that says so; the mesh's default is the caller's matter.

    Without `attempts` there are none, and without `retryOn` the default conditions hold.
    """
    retries = default_retries()
    if written is None:
        return retries
    words = written.conditions()
    retries["attempts"] = written.attempts
    retries["per_try_timeout_ms"] = written.per_try_timeout or None
    if words:
        retries["on"] = [word for word in words if word in RETRY_ON]
        retries["statuses"] = [int(word) for word in words if word.isdecimal()]
    if written.backoff is not None:
        retries["backoff_ms"] = written.backoff
    if written.retry_ignore_previous_hosts is not None:
        retries["avoid_previous_hosts"] = written.retry_ignore_previous_hosts
    return retries
