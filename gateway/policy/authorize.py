"""Per-method permission: who may call what.

Rules
- Default deny: a method without a rule is closed, unless `default: authenticated` opens it to every verified subject.
- Paths are compared as raw bytes, `/pkg.Service/Method` exactly or `/pkg.Service/*` by service.
- The more particular rule decides alone: where an exact rule names a method, a `/*` rule does not open it wider.
- Any role or identity that the deciding rules list is enough; a name counts whole (`admin.readonly` is not `admin`).
"""

from dataclasses import dataclass
from functools import lru_cache

from gateway.permit import Subject
from gateway.settings import Authorization


@dataclass(frozen=True, slots=True)
class _Admitted:
    roles: frozenset[str]
    identities: frozenset[str]


class Permissions:
    """The `authorization` section, made ready."""

    def __init__(self, settings: Authorization) -> None:
        self._default_open = settings.default == "authenticated"
        exact: dict[bytes, list[_Admitted]] = {}
        services: dict[bytes, list[_Admitted]] = {}
        for rule in settings.rules:
            admitted = _Admitted(frozenset(rule.roles), frozenset(rule.identities))
            for method in rule.methods:
                service, _, name = method.encode().rpartition(b"/")
                table, key = (services, service) if name == b"*" else (exact, method.encode())
                table.setdefault(key, []).append(admitted)
        self._exact = {path: _merge(rules) for path, rules in exact.items()}
        self._services = {service: _merge(rules) for service, rules in services.items()}
        self._rule_for = lru_cache(maxsize=4096)(self._find)

    def allows(self, path: bytes, subject: Subject, identities: tuple[str, ...]) -> bool:
        """`subject` is NOBODY (empty id) for a call without a token."""
        admitted = self._rule_for(path)
        if admitted is None:
            return self._default_open and bool(subject.id)
        return not admitted.roles.isdisjoint(subject.roles) or not admitted.identities.isdisjoint(identities)

    def identity(self, path: bytes, subject: Subject, identities: tuple[str, ...]) -> str:
        """That which lets the call in; empty: none does, or a role does it anyway."""
        admitted = self._rule_for(path)
        if admitted is None or not admitted.roles.isdisjoint(subject.roles):
            return ""
        return next((identity for identity in identities if identity in admitted.identities), "")

    def _find(self, path: bytes) -> _Admitted | None:
        return self._exact.get(path) or self._services.get(path.rpartition(b"/")[0])


def _merge(rules: list[_Admitted]) -> _Admitted:
    return _Admitted(
        frozenset().union(*(rule.roles for rule in rules)),
        frozenset().union(*(rule.identities for rule in rules)),
    )
