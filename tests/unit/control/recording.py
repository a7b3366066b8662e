"""A server that only notes what it is told."""

from meshcore.errors import SnapshotRejected


class Recording:
    """Stands for the native server."""

    def __init__(self, options=b"{}"):
        self.options = options
        self.resources = {}
        self.updates = []
        self.refuses = None
        self.is_stopped = False

    def update(self, revision, changed, removed):
        if self.refuses and any(self.refuses in name for name, _ in changed):
            raise SnapshotRejected(f"{self.refuses}: refused")
        self.updates.append((revision, [name for name, _ in changed], list(removed)))
        self.resources |= dict(changed)
        for name in removed:
            del self.resources[name]

    def addresses(self):
        return {"plain": "127.0.0.1:1", "secure": "127.0.0.1:2"}

    def status(self):
        return {"clients": []}

    def metrics(self):
        return b"# TYPE pilot_xds gauge\npilot_xds 0\n"

    def stop(self):
        self.is_stopped = True
