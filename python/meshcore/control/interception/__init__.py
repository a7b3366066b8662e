"""Which connections the kernel redirects to a sidecar: rules as text, for the tools that load them.

There is no I/O here: `meshcore.control.redirect` runs the tools.
"""
