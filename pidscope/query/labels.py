"""What people call a container, and the places among which they have to choose. Pure.

Foreign strings are escaped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pidscope.containers.container import Chain, display_name
from pidscope.escape import printable

_ID_SHOWN = 12  # digits
_DIGITS = frozenset("0123456789abcdef")


def describe(chain: Chain) -> str:
    """Return what people call a container: ``docker container web``, ``pod default/web/nginx``.

    What is below the manager of a user is that user's: ``user 1001: docker container web``.
    """
    container = chain[-1]
    kind = f"{printable(container.runtime)} container"
    if container.is_service:
        kind = "service"
    elif container.pod is not None and (container.pod_namespace or container.name is None):
        kind = "pod"  # of Podman's the containers have names of their own
    outer = tuple(around for around in chain[:-1] if not around.is_service)
    is_users = container.uid is not None and not (outer and outer[-1].uid == container.uid)
    owner = f"user {container.uid}: " if is_users else ""
    named = f"{owner}{kind} {printable(display_name(container._replace(uid=None)))}"
    return f"{named} in {describe(outer)}" if outer else named


def describe_apart(chains: Sequence[Chain]) -> list[str]:
    """Return what people call each of several, with its id where that alone would not tell them."""
    names = [describe(chain) for chain in chains]
    pods = sum(chain[-1].pod is not None for chain in chains)
    many = Counter(names)
    shown = Counter(_shown_id(chain) for chain in chains)
    labels = []
    for name, chain in zip(names, chains):
        it = chain[-1]
        in_doubt = many[name] > 1 or (it.pod is not None and pods > 1)
        number = it.id if shown[_shown_id(chain)] > 1 else _shown_id(chain)
        labels.append(f"{name}  id:{printable(number)}" if in_doubt and it.id else name)
    return labels


def _shown_id(chain: Chain) -> str:
    """Return the first digits of a hexadecimal id; another one may be told apart at its end."""
    number = chain[-1].id
    return number[:_ID_SHOWN] if _DIGITS.issuperset(number) else number
