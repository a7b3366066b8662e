"""Who may call whom, and how: `authorization.rs`, `peer_auth.rs`."""

from typing import Literal, TypeAlias, TypedDict

from meshcore.config.resources.origin import Labels, Origin, StringMatch

MtlsMode: TypeAlias = Literal["disable", "permissive", "strict"]


class PeerAuth(TypedDict):
    """What a workload accepts from its peers."""

    origin: Origin
    selector: Labels
    mode: MtlsMode | None
    ports: dict[str, MtlsMode | None]
    created: str


class TextMatchers(TypedDict):
    """`Matchers<StringMatch>`."""

    any: list[StringMatch]
    none: list[StringMatch]


class BlockMatchers(TypedDict):
    """`Matchers<String>`: IPs and CIDRs."""

    any: list[str]
    none: list[str]


class PortMatchers(TypedDict):
    """`Matchers<u16>`."""

    any: list[int]
    none: list[int]


class ServiceAccount(TypedDict):
    """A service account."""

    namespace: str
    name: str


class AccountMatchers(TypedDict):
    """`Matchers<ServiceAccount>`."""

    any: list[ServiceAccount]
    none: list[ServiceAccount]


class Peer(TypedDict):
    """Who calls (`Source` in the model); all fields must hold."""

    principals: TextMatchers
    request_principals: TextMatchers
    namespaces: TextMatchers
    service_accounts: AccountMatchers
    ip_blocks: BlockMatchers
    remote_ip_blocks: BlockMatchers


class Operation(TypedDict):
    """What is called; all fields must hold."""

    hosts: TextMatchers
    ports: PortMatchers
    methods: TextMatchers
    paths: TextMatchers


class Condition(TypedDict):
    """A further condition on an attribute."""

    key: str | dict[str, str] | dict[str, list[str]]
    values: TextMatchers


AuthorizationRule = TypedDict(
    "AuthorizationRule",
    {"line": int, "from": list[Peer], "to": list[Operation], "when": list[Condition]},
)


class Authorization(TypedDict):
    """Rules that allow or deny requests to the selected workloads."""

    origin: Origin
    selector: Labels
    action: Literal["allow", "deny"]
    dry_run: bool
    rules: list[AuthorizationRule]
