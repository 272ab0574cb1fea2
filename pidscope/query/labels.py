"""What people call a container, and the places among which they have to choose. Pure.

Foreign strings are escaped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pidscope.containers.container import Chain, display_name
from pidscope.containers.owner import owning_user
from pidscope.escape import printable

_ID_SHOWN = 12  # digits


def describe(chain: Chain) -> str:
    """Return what people call a container: ``docker container web``, ``pod default/web/nginx``.

    What is below the manager of a user is that user's: ``user 1001: docker container web``.
    """
    container = chain[-1]
    kind = f"{printable(container.runtime)} container"
    if container.is_service:
        kind = "service"
    elif container.pod is not None:
        kind = "pod"
    outer = tuple(around for around in chain[:-1] if not around.is_service)
    inside = chain[chain.index(outer[-1]) + 1 :] if outer else chain
    user = owning_user(inside)
    owner = "" if user is None else f"user {user}: "
    named = f"{owner}{kind} {printable(display_name(container))}"
    return f"{named} in {describe(outer)}" if outer else named


def describe_apart(chains: Sequence[Chain]) -> list[str]:
    """Return what people call each of several, with its id where that alone would not tell them."""
    names = [describe(chain) for chain in chains]
    pods = [chain[-1].pod is not None for chain in chains]
    many = Counter(names)
    return [
        f"{name}  id:{printable(chain[-1].id[:_ID_SHOWN])}"
        if not chain[-1].is_service and (many[name] > 1 or (pod and sum(pods) > 1))
        else name
        for name, chain, pod in zip(names, chains, pods)
    ]
