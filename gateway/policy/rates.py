"""How often calls may come, by `limits.rate`: whom a call counts for, and in which order.

Rules
- A peer is counted before anything else is known of its call, so that a flood costs no cryptography.
- A subject and a method are counted once the call is permitted: who may not call uses up nobody's share. The subject
  comes first, for one that calls too often must not use up the method, which all share.
- The subject is the token's, or else the client certificate. A public method without a certificate has none.
"""

from collections.abc import Callable
from hashlib import blake2b

from gateway.permit import Refusal, Subject
from gateway.policy.peers import peer_name
from gateway.policy.rate_limit import Counts, Due, RateLimit
from gateway.policy.rate_memory import MemoryCounts
from gateway.settings.limits import Limits

LONGEST_METHOD = 256  # bytes; a rule for `/pkg.Service/*` lets callers make names up

Then = Callable[[Refusal | None], None]


class Rates:
    """The rates of one configuration, with their counts."""

    def __init__(self, limits: Limits) -> None:
        made = [RateLimit.of(rate) for rate in limits.rate]
        self._of_peers = [limit for limit in made if limit.key == "peer"]
        self._of_subjects = [limit for limit in made if limit.key == "subject"]
        self._of_methods = [limit for limit in made if limit.key == "method"]
        self.counts: Counts
        if limits.rate_storage == "memory":
            self.counts = MemoryCounts(made)
        else:
            from gateway.policy.rate_redis import RedisCounts  # noqa: PLC0415 - redis is a tenth of a start

            self.counts = RedisCounts(limits.rate_storage, allow_uncounted=limits.rate_storage_failure == "allow")

    @classmethod
    def of(cls, limits: Limits) -> "Rates | None":
        """None when nothing is counted."""
        return cls(limits) if limits.rate else None

    def of_peer(self, address: str, then: Then) -> None:
        """Count a call that has just come."""
        if not self._of_peers:
            then(None)
            return
        peer = peer_name(address)
        self.counts.take([(limit, f"{limit.name}/{peer}") for limit in self._of_peers], then)

    def of_call(self, path: bytes, subject: Subject, identities: tuple[str, ...], then: Then) -> None:
        """Count a call that is permitted."""
        due: list[Due] = []
        if self._of_subjects and (caller := _caller(subject, identities)):
            due += [(limit, f"{limit.name}/{caller}") for limit in self._of_subjects]
        if self._of_methods:
            method = path[:LONGEST_METHOD].decode("latin-1")
            due += [(limit, f"{limit.name}{method}") for limit in self._of_methods]
        if due:
            self.counts.take(due, then)
        else:
            then(None)

    async def start(self) -> None:
        """Never fails: what does not answer is logged, and asked again by calls."""
        await self.counts.start()

    async def close(self) -> None:
        await self.counts.close()


def _caller(subject: Subject, identities: tuple[str, ...]) -> str:
    """A name of the caller that tells nobody who it is, and is short whatever the issuer writes; empty: nobody."""
    if subject.id:
        parts: tuple[str, ...] = (subject.issuer, subject.id)
    elif identities:
        parts = ("", *identities)
    else:
        return ""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
