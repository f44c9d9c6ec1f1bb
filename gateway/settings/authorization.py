"""`authorization`: who may call what."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.file import File
from gateway.settings.kind import NAME, Text
from gateway.settings.method import IDENTITY_PATTERN, RULE_PATTERN, read_identity, read_rule_method
from gateway.settings.model import Section


class Rule(Section):
    """Lets callers with any of the roles or any of the identities call any of the methods."""

    methods: Annotated[
        tuple[
            Annotated[str, Text(read_rule_method, RULE_PATTERN, ("/shop.v1.Orders/GetOrder", "/shop.v1.Catalog/*"))],
            ...,
        ],
        Field(min_length=1),
    ]
    """/pkg.Service/Method, or /pkg.Service/* for the whole service."""
    roles: tuple[Annotated[str, NAME], ...] = ()
    """Any of these roles of the token."""
    identities: tuple[
        Annotated[str, Text(read_identity, IDENTITY_PATTERN, ("spiffe://example.org/batch", "DNS:ops.internal"))], ...
    ] = ()
    """Or any of these names of a verified client certificate: spiffe://…, DNS:… or CN:…."""


class Authorization(Section):
    """What is not allowed is denied."""

    default: Literal["deny", "authenticated"] = "deny"
    """For methods that no rule names: nobody, or everyone with a valid token."""
    shadow: bool = False
    """Log what the rules would deny, and allow it."""
    rules: tuple[Rule, ...] = ()
    """Each opens methods to roles or identities."""
    descriptors: Annotated[Path | Literal["reflection"] | None, File(or_word="reflection", none=True)] = None
    """A FileDescriptorSet, or `reflection` to ask the backends: rules that name unknown methods then fail the start."""
