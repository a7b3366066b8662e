"""Configurations that are wrong in one place, made from right ones.

Each is one document with a line that is wrong; what refuses it has to name that line and its field.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# Behind a `#` stands what is wrong in place of a value, separated by `|`. Such keys, which have a `~`,
# are misspelled as well.
_DOCUMENTS = [
    """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: extra
  namespace: default
spec:
  hosts:
  - extra.example
  http:
  - ~name: main # [] | {}
    ~timeout: 5s # 5 | soon | -1s | [] | {} | 5parsecs
    match:
    - ~withoutHeaders: {} # [] | text
      uri:
        ~prefix: /a # [] | {}
      headers:
        x-user:
          ~regex: a+ # ( | "[" | a{2,1} | (?<n | {}
    retries:
      ~attempts: 2 # -1 | many | [] | true | 1.5 | {}
      ~perTryTimeout: 1s # 1 | [] | later | 1y | true | -2s
      ~retryOn: 5xx # [] | {}
    fault:
      abort:
        ~httpStatus: 503 # 0 | 1000 | teapot | [] | -1
        percentage:
          ~value: 10 # -1 | 101 | half | [] | true
      delay:
        ~fixedDelay: 1s # 1 | [] | slowly | 1y | true | {}
    rewrite:
      ~uri: /b # [] | {}
    headers:
      request:
        ~set: {x-a: b} # [] | text | {x-a: [1]}
        ~remove: [x-b] # text | {} | [[]]
    route:
    - ~weight: 100 # -1 | many | [] | true | 1.5
      destination:
        ~host: api.default.svc.cluster.local # [] | {}
        ~subset: v1 # nowhere | [] | {}
        port:
          ~number: 9080 # 0 | 70000 | http | [] | true | -1
""",
    """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: extra
  namespace: default
spec:
  ~host: extra.example # [] | {}
  trafficPolicy:
    loadBalancer:
      ~simple: RANDOM # BEST | [] | {} | 7
    connectionPool:
      tcp:
        ~maxConnections: 10 # -1 | many | [] | true | 1.5
        ~connectTimeout: 1s # 1 | [] | soon | 1y | true | -1s
      http:
        ~http1MaxPendingRequests: 5 # -1 | few | [] | true | {}
        ~http2MaxRequests: 5 # -1 | few | [] | true
        ~maxRequestsPerConnection: 5 # -1 | few | [] | true
        ~idleTimeout: 1s # 1 | [] | never | 1y | true | -1s
    outlierDetection:
      ~consecutive5xxErrors: 5 # -1 | few | [] | true
      ~interval: 1s # 1 | [] | seldom | 1y | true | -1s
      ~baseEjectionTime: 1s # 1 | [] | long | 1y | true
      ~maxEjectionPercent: 10 # -1 | 101 | most | [] | true
    tls:
      ~mode: ISTIO_MUTUAL # SOMETIMES | [] | {} | 7
  subsets:
  - ~name: one # [] | {}
    ~labels: {version: v1} # [] | text | {version: [1]}
""",
    """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: extra
  namespace: default
spec:
  ~selector: {matchLabels: {app: nobody}} # [] | text | {matchLabel: {app: a}}
  ~action: ALLOW # PERHAPS | [] | {} | 7
  rules:
  - from:
    - source:
        ~principals: [cluster.local/ns/default/sa/web] # text | {} | [[]]
        ~namespaces: [default] # text | {} | [[]]
        ~ipBlocks: [10.0.0.0/8] # [10.0.0.0/99] | [everywhere] | {} | text
    to:
    - operation:
        ~methods: [GET] # text | {} | [[]]
        ~paths: [/a] # text | {} | [[]]
        ~ports: ["80"] # text | {} | ["70000"] | [http]
    when:
    - ~key: request.headers[x-a] # [] | {} | request.mood
      ~values: [b] # text | {} | [[]]
""",
    """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: extra
  namespace: default
spec:
  ~selector: {matchLabels: {app: nobody}} # [] | text | {matchLabels: [a]}
  mtls:
    ~mode: STRICT # SOMETIMES | [] | {} | 7
  portLevelMtls:
    9080:
      ~mode: DISABLE # SOMETIMES | [] | {}
""",
    """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: extra
  namespace: default
spec:
  ~hosts: [extra.example] # text | {} | [[]] | ["not a host"]
  ~location: MESH_EXTERNAL # NOWHERE | [] | {} | 7
  ~resolution: STATIC # GUESS | [] | {} | 7
  ports:
  - ~number: 80 # 0 | 70000 | many | [] | true | -1
    ~name: http # [] | {}
    ~protocol: HTTP # CARRIER_PIGEON | [] | {}
  endpoints:
  - ~address: 10.0.0.1 # [] | {} | "not an address"
    ~ports: {http: 8080} # [] | text | {http: 70000} | {http: many}
    ~labels: {app: extra} # [] | text | {app: [1]}
    ~weight: 1 # -1 | many | [] | true
""",
    """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: extra
  namespace: default
spec:
  ~address: 10.0.0.2 # [] | {} | "not an address"
  ~labels: {app: extra} # [] | text | {app: [1]}
  ~serviceAccount: extra # [] | {}
  ~ports: {http: 8080} # [] | text | {http: 70000} | {http: many}
  ~weight: 1 # -1 | many | [] | true
""",
]


@dataclass(frozen=True)
class Bad:
    """A configuration that is wrong."""

    text: str
    line: int
    """Where it is wrong, counted from 1."""
    field: str
    """What has to be named, which may be within a misspelled name."""

    @property
    def wrong(self) -> str:
        """The line that is wrong."""
        return self.text.splitlines()[self.line - 1].strip()


_HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: extra
spec:
  hosts: [extra.example]
"""
# What no value of a field can be: text, line, and what is named.
_WHOLE = [
    (_HEAD.replace("VirtualService", "VirtualServize"), 2, "VirtualServize"),
    (_HEAD.replace("/v1", "/v9"), 1, "networking.istio.io/v9"),
    (_HEAD + "  hosts: [other.example]\n", 7, "hosts"),
    (_HEAD + "\thttp: []\n", 7, "not YAML"),
    (_HEAD + "  http: *nobody\n", 7, "*nobody"),
    (_HEAD + "  http:\n  - route: &a\n    - *a\n", 9, "*a"),
    (_HEAD.replace("extra\n", "Not A Name\n"), 4, "metadata.name"),
    ("services:\n  one: {port: 80, splits: 1}\n", 2, "splits"),
    ("services:\n  one:\n    port: 80000\n", 3, "port"),
    ("services: []\n", 1, "services"),
    ("mesh: {trustDomains: a}\n", 1, "trustDomains"),
    ("just text\n", 1, "a document"),
    ("- a list\n", 1, "a document"),
]


def right() -> list[str]:
    """Returns the documents as they should be."""
    return ["".join(_plain(line)[0] + "\n" for line in text.splitlines()) for text in _DOCUMENTS]


def cases() -> list[Bad]:
    """Returns all, each of which is like no other."""
    within = [bad for text in _DOCUMENTS for bad in _of(text.splitlines())]
    return [*within, *(Bad(*whole) for whole in _WHOLE)]


def _of(lines: list[str]) -> Iterator[Bad]:
    plain = [_plain(line)[0] for line in lines]
    for at, line in enumerate(lines):
        _, values = _plain(line)
        if not values:
            continue
        before = plain[at].partition(": ")[0]
        key = before.lstrip(" -")
        for value in values:
            yield _with(plain, at, f"{before}: {value}", key)
        yield _with(plain, at, plain[at].replace(f"{key}:", f"{key}x:", 1), key)


def _with(lines: list[str], at: int, line: str, field: str) -> Bad:
    return Bad("\n".join([*lines[:at], line, *lines[at + 1 :], ""]), at + 1, field)


def _plain(line: str) -> tuple[str, list[str]]:
    """Returns a line without its marks, and what else may stand there that is wrong."""
    text, _, values = line.partition(" # ")
    return text.replace("~", ""), [value.strip() for value in values.split(" | ")] if values else []
