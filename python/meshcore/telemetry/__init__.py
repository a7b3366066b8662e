"""Metrics of the data plane and of its process, for Prometheus."""
