"""PID namespaces in which no task lives: something else keeps them.

That may be a descriptor, a bind mount, or a task whose children would be born there. listns()
(since 6.19) lists them all. Before, /proc shows the links of descriptors and of
``ns/pid_for_children``, and mountinfo the bind mounts.

A process can put anything behind a name between two looks at it, so a file is opened without an
effect first (O_PATH), and is opened to be asked only once it is known to be a namespace.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from pidscope.host.ns_chain import inums_of
from pidscope.host.proc_files import DENIED, GONE, expect, read_whole
from pidscope.host.proc_parse import unmangle
from pidscope.snapshot import Kept

_LINK = "pid:["
_FEW_LINKS = 1000  # some 3 ms
_COST_OF_DIRECTORY = 4  # in links


class _Budget:
    """How many links may still be read; None: any number."""

    def __init__(self, links: int | None) -> None:
        self._left = links

    def take(self, links: int) -> bool:
        """Return whether so many more may be read."""
        if self._left is not None:
            self._left -= links
        return self._left is None or self._left >= 0


def kept_namespaces(root: str, numbers: Iterable[int], known: Collection[int], whole: bool) -> Kept:
    """Return the namespaces below ``known`` ones that no task lives in, with their parents.

    Args:
        root: where /proc is mounted.
        numbers: of the processes.
        known: inums of namespaces that are known already.
        whole: look at every descriptor, however many there are, instead of the first.
    """
    chains = _listed() if whole or _may_have_listns(os.uname().release) else None
    if chains is not None:
        return Kept(_below(known, chains), True)
    search = _Search(root, _Budget(None if whole else _FEW_LINKS))
    return Kept(_below(known, search.chains(numbers, known)), not search.is_cut)


def _listed() -> list[list[int]] | None:
    try:
        from pidscope.host.listns import listed_chains  # ctypes takes longer than the first links
    except ImportError:  # a Python without ctypes
        return None
    return listed_chains()


def _may_have_listns(release: str) -> bool:
    """Return whether it is worth while to ask; the answer is never taken from this."""
    numbers = [int(it) if it.isdigit() else 0 for it in release.split(".")[:2]]
    return numbers >= [6, 19]


def _below(known: Collection[int], chains: Iterable[list[int]]) -> dict[int, int]:
    """Return the parents of those that a chain of parents connects with a known namespace."""
    found: dict[int, int] = {}
    for chain in chains:
        unknown = [inum for inum in chain if inum not in known]
        if len(unknown) < len(chain):
            found.update(zip(unknown, chain[1:]))
    return found


class _Search:
    """Looks for namespaces where they can be kept."""

    def __init__(self, root: str, budget: _Budget) -> None:
        self._root = root
        self._budget = budget
        self.is_cut = False

    def chains(self, numbers: Iterable[int], known: Collection[int]) -> Iterator[list[int]]:
        """Yield the inum of each that is not known, and of those around it, once."""
        device = _device(f"{self._root}/self/ns/pid")
        if device is None:
            return
        met = {f"{_LINK}{inum}]" for inum in known}
        for link, path in (*self._mounts(), *self._links(numbers)):
            if link not in met:
                met.add(link)
                chain = self._chain(path, device)
                if chain:
                    yield chain

    def _mounts(self) -> Iterator[tuple[str, str]]:
        """Yield the bind mounts of namespaces that this process sees, as links and paths."""
        for line in (read_whole(f"{self._root}/self/mountinfo") or b"").splitlines():
            fields = line.split()
            if b" - nsfs " in line and fields[3].startswith(_LINK.encode()):
                yield fields[3].decode("ascii", "replace"), os.fsdecode(unmangle(fields[4]))

    def _links(self, numbers: Iterable[int]) -> Iterator[tuple[str, str]]:
        """Yield the links of processes to namespaces, and their paths."""
        for number in numbers:
            process = f"{self._root}/{number}"
            children = f"{process}/ns/pid_for_children"
            names = _listing(f"{process}/fd")
            if not self._budget.take(_COST_OF_DIRECTORY + len(names)):
                self.is_cut = True
                return
            for path in (children, *(f"{process}/fd/{name}" for name in names)):
                link = _link(path)
                if link.startswith(_LINK):
                    yield link, path

    def _chain(self, path: str, device: int) -> list[int]:
        fd = _open_namespace(path, device, self._root)
        return [] if fd is None else inums_of(fd)


def _device(path: str) -> int | None:
    """Return the device of nsfs, given a namespace; None: this is no /proc."""
    try:
        return os.stat(path).st_dev  # noqa: PTH116
    except OSError as error:
        expect(error, GONE | DENIED)
        return None


def _open_namespace(path: str, device: int, root: str) -> int | None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        expect(error, GONE | DENIED)
        return None
    try:
        if os.fstat(handle).st_dev != device:
            return None
        return os.open(f"{root}/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        expect(error, GONE | DENIED)
        return None
    finally:
        os.close(handle)


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 (no Path for each name)
    except OSError as error:
        expect(error, GONE | DENIED)
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError as error:
        expect(error, GONE | DENIED)
        return ""
