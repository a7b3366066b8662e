"""Istio's AuthorizationPolicy: who may call whom."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic.alias_generators import to_camel

from meshcore.config.models import Kind
from meshcore.config.models.authorization_values import (
    check_values,
    key_problem,
    read_path,
    read_port,
    read_service_account,
)
from meshcore.config.models.base import Block, LabelSelector, Model, TargetRef, refusal

Text: TypeAlias = Annotated[str, Field(min_length=1)]
# An empty list would constrain nothing, where its author meant to allow nothing.
Texts: TypeAlias = Annotated[list[Text], Field(min_length=1)] | None
Blocks: TypeAlias = Annotated[list[Block], Field(min_length=1)] | None
Accounts: TypeAlias = (
    Annotated[list[Annotated[str, AfterValidator(read_service_account)]], Field(min_length=1)]
    | None
)
Ports: TypeAlias = (
    Annotated[list[Annotated[str, AfterValidator(read_port)]], Field(min_length=1)] | None
)
Paths: TypeAlias = (
    Annotated[list[Annotated[str, AfterValidator(read_path)]], Field(min_length=1)] | None
)


class Source(Model):
    """Who calls; all that is given must hold."""

    principals: Texts = None
    not_principals: Texts = None
    request_principals: Texts = None
    not_request_principals: Texts = None
    namespaces: Texts = None
    not_namespaces: Texts = None
    service_accounts: Accounts = None
    not_service_accounts: Accounts = None
    ip_blocks: Blocks = None
    not_ip_blocks: Blocks = None
    remote_ip_blocks: Blocks = None
    not_remote_ip_blocks: Blocks = None
    trust_domains: Texts = None
    not_trust_domains: Texts = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.model_fields_set:
            raise refusal(
                "an empty source would be anyone", hint="name somebody, or leave from out"
            )
        accounts = self.service_accounts or self.not_service_accounts
        others = (self.principals, self.not_principals, self.namespaces, self.not_namespaces)
        if accounts and any(others):
            raise refusal("Cannot set serviceAccounts with namespaces or principals",
                          "serviceAccounts")  # fmt: skip
        return self


class Operation(Model):
    """What is called; all that is given must hold."""

    hosts: Texts = None
    not_hosts: Texts = None
    ports: Ports = None
    not_ports: Ports = None
    methods: Texts = None
    not_methods: Texts = None
    paths: Paths = None
    not_paths: Paths = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.model_fields_set:
            raise refusal("an empty operation would be anything", hint="name one, or leave to out")
        return self


class From(Model):
    """One of the allowed callers."""

    source: Source


class To(Model):
    """One of the allowed operations."""

    operation: Operation


class Condition(Model):
    """A further condition on an attribute."""

    key: str
    values: Texts = None
    not_values: Texts = None

    @model_validator(mode="after")
    def _can_be_decided(self) -> Self:
        problem, hint = key_problem(self.key)
        if problem:
            raise refusal(problem, "key", hint=hint)
        if not self.values and not self.not_values:
            raise refusal("a condition needs values or notValues")
        for name in ("values", "not_values"):
            for index, value in enumerate(getattr(self, name) or []):
                reason = check_values(self.key, value)
                if reason:
                    raise refusal(reason, to_camel(name), index)
        return self


class Rule(Model):
    """`from`, `to` and `when` must all hold; what is not given holds."""

    from_: Annotated[list[From], Field(min_length=1)] | None = Field(default=None, alias="from")
    to: Annotated[list[To], Field(min_length=1)] | None = None
    when: Annotated[list[Condition], Field(min_length=1)] | None = None


class Provider(Model):
    """Who decides for the action CUSTOM."""

    name: str = ""


class AuthorizationPolicy(Model):
    """Rules that allow or deny requests to some workloads."""

    selector: LabelSelector | None = None
    target_ref: TargetRef | None = None
    target_refs: list[TargetRef] = []
    rules: list[Rule] = []
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = "ALLOW"
    provider: Provider | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        targets = self.target_refs or self.target_ref
        if self.selector and targets:
            raise refusal("only one of selector, targetRefs may be given", "selector")
        if self.action == "CUSTOM" and not (self.provider and self.provider.name):
            raise refusal("the action CUSTOM needs provider.name", "action")
        if self.action != "CUSTOM" and self.provider:
            raise refusal("a provider needs the action CUSTOM", "provider")
        return self


KIND = Kind(
    "AuthorizationPolicy",
    groups=("security.istio.io",),
    versions=("v1", "v1beta1"),
    spec=AuthorizationPolicy,
    needs_spec=False,
    refuses_null_below="rules",
)
