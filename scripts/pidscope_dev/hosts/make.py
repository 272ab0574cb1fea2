"""Random hosts: containers of many runtimes, monitors, sandboxes, and cgroups that lie.

What is made is what the kernel and the runtimes allow. Two bounds keep a container's cgroup worth
asking: no more processes are moved into it than it has itself, and where its own first process was
moved away, nothing is expected of it (`Box.lost`).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from pidscope_dev.hosts.host import HOST_NS, Box, Host, Namespace, Process

_HEX = "0123456789abcdef"
_USER = "/user.slice/user-1001.slice/user@1001.service"
_SESSION = "/user.slice/user-0.slice/session-1.scope"
_NAMES = ("web", "db", "host", "self", "c1", "17", "cache")


def make(seed: int) -> Host:
    """Return the host of a seed."""
    return _Maker(random.Random(seed)).host


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        root = Namespace(HOST_NS)
        self.host = Host(rng.choice(("v1", "v2", "v2", "hybrid")), root)
        self.inum, self.ticks = HOST_NS + 200, 1
        self.process(root, 0, _everywhere("/init.scope"), number=1)
        for unit in ("cron", "containerd", "docker"):
            self.process(root, 1, _everywhere(f"/system.slice/{unit}.service"))
        for _ in range(rng.randrange(3)):
            self.process(root, 1, self.session(_SESSION))
        for _ in range(rng.randrange(1, 5)):
            rng.choice(_KINDS)(self, None)
        self.spoof()
        self.enter()
        self.move()

    # Parts

    def process(
        self,
        place: Namespace,
        parent: int,
        paths: dict[str, str],
        box: Box | None = None,
        number: int = 0,
    ) -> Process:
        """A process that starts now; ``number``: in its namespace."""
        numbers = {}
        for space in place.outwards():
            wanted = number if space is place else 0
            numbers[space.ns] = wanted or self.free(space)
            space.taken.add(numbers[space.ns])
        self.ticks += self.rng.choice((0, 1, 1, 5))
        made = Process(place, numbers, parent, self.ticks, paths, box)
        self.host.processes.append(made)
        return made

    def free(self, space: Namespace) -> int:
        """A number that is free; small ones, so that the namespaces have many in common."""
        while True:
            number = self.rng.choice((17, self.rng.randrange(2, 60), self.rng.randrange(2, 400)))
            if number not in space.taken:
                return number

    def namespace(self, parent: Namespace) -> Namespace:
        self.inum += 1
        return Namespace(self.inum, parent)

    def hex(self, digits: int = 64) -> str:
        return "".join(self.rng.choice(_HEX) for _ in range(digits))

    def session(self, path: str) -> dict[str, str]:
        """A user's paths: v1 delegates no controllers."""
        return {"systemd": path, "pids": "/user.slice", "unified": path}

    def around(self, outer: Box | None) -> tuple[Namespace, str]:
        """Where a runtime lives: on the host, or in a container."""
        if outer is None:
            return self.host.root, ""
        return outer.place, outer.paths["unified"]

    def runtime(self, outer: Box | None) -> int:
        """A shim, which is the parent of a container's first process; its number on the host."""
        place, prefix = self.around(outer)
        path = _everywhere(f"{prefix}/system.slice/containerd.service")
        return self.process(place, 1, path, outer).number

    def fill(self, box: Box, parent: int, number_1: bool) -> None:
        """Let the first process of a container make others."""
        rng = self.rng
        first = self.process(box.place, parent, box.paths, box, 1 if number_1 else 0)
        box.first = first
        self.host.boxes.append(box)
        for _ in range(rng.randrange(4)):
            below = rng.choice(("", "", "/app", "/system.slice/nginx.service"))
            paths = {key: path + below for key, path in box.paths.items()}
            self.process(box.place, first.number, paths, box)
        if rng.random() < 0.25:
            self.sandbox(box, first.number)
        if rng.random() < 0.25:
            self.process(box.place, parent, box.paths, box)  # docker exec
        if rng.random() < 0.15:
            outside = box.place.parent if number_1 and box.place.parent else self.host.root
            self.process(outside, parent, box.paths)  # the same, on its way

    def sandbox(self, box: Box, parent: int) -> None:
        """A namespace that a process of a container makes for itself."""
        place = self.namespace(box.place)
        init = self.process(place, parent, box.paths, box, 1)
        for _ in range(self.rng.randrange(4)):
            self.process(place, init.number, box.paths, box)

    # Containers

    def docker(self, outer: Box | None) -> None:
        rng, number = self.rng, self.hex()
        place, prefix = self.around(outer)
        form = rng.choice(("/docker/{}", "/system.slice/docker-{}.scope", "/actions_job/{}"))
        own = rng.random() < 0.7
        others = [it for it in self.host.boxes if it.place.parent is place and it.user is None]
        if own:
            inside = self.namespace(place)
        else:
            inside = rng.choice(others).place if others and rng.random() < 0.5 else place
        paths = _everywhere(prefix + form.format(number))
        box = Box("docker", number, inside, paths, rng.choice(_NAMES))
        box.engine = outer is None and rng.random() < 0.5
        self.fill(box, self.runtime(outer), own)
        if outer is None and own and rng.random() < 0.3:
            rng.choice((_Maker.docker, _Maker.ctr, _Maker.lxc))(self, box)

    def podman(self, outer: Box | None) -> None:
        place, prefix = self.around(outer)
        number = self.hex()
        conmon = self.process(
            place, 1, _everywhere(f"{prefix}/machine.slice/libpod-conmon-{number}.scope"), outer
        )
        paths = _everywhere(f"{prefix}/machine.slice/libpod-{number}.scope/container")
        box = Box("podman", number, self.namespace(place), paths, self.rng.choice(_NAMES))
        box.engine = outer is None and self.rng.random() < 0.5
        self.fill(box, conmon.number, True)

    def ctr(self, outer: Box | None) -> None:
        place, prefix = self.around(outer)
        name = f"ctr-{self.rng.choice(_NAMES)}-{self.hex(4)}"
        box = Box(
            "containerd", name, self.namespace(place), _everywhere(f"{prefix}/default/{name}")
        )
        self.fill(box, self.runtime(outer), True)

    def lxc(self, outer: Box | None) -> None:
        place, prefix = self.around(outer)
        name = f"{self.rng.choice(_NAMES)}{self.hex(3)}"
        monitor = self.process(place, 1, _everywhere(f"{prefix}/lxc.monitor.{name}"), outer)
        paths = _everywhere(f"{prefix}/lxc.payload.{name}")
        self.fill(Box("lxc", name, self.namespace(place), paths, name), monitor.number, True)

    def libvirt(self, outer: Box | None) -> None:
        """The monitor is in the container's scope."""
        name = f"vm{self.hex(3)}"
        paths = _everywhere(
            rf"/machine.slice/machine-lxc\x2d{self.rng.randrange(99)}\x2d{name}.scope"
        )
        monitor = self.process(self.host.root, 1, paths)
        box = Box("libvirt", name, self.namespace(self.host.root), paths, name, monitors=1)
        self.fill(box, monitor.number, True)

    def nspawn(self, outer: Box | None) -> None:
        """Supervisor and payload have one cgroup in the hierarchies of v1's controllers."""
        name = f"m{self.hex(3)}"
        unit = f"/machine.slice/systemd-nspawn@{name}.service"
        payload = {"systemd": f"{unit}/payload", "pids": unit, "unified": f"{unit}/payload"}
        beside = {"systemd": f"{unit}/supervisor", "pids": unit, "unified": f"{unit}/supervisor"}
        monitor = self.process(self.host.root, 1, beside)
        box = Box("nspawn", name, self.namespace(self.host.root), payload, name)
        self.fill(box, monitor.number, True)

    def unknown(self, outer: Box | None) -> None:
        """A runtime that no rule knows; it makes no sandboxes, whose cgroup would be its own."""
        name = f"box{self.hex(4)}"
        path = f"/newruntime/{name}"
        box = Box("?", path, self.namespace(self.host.root), _everywhere(path), name)
        parent = self.process(self.host.root, 1, _everywhere("/system.slice/new.service")).number
        box.first = self.process(box.place, parent, box.paths, box, 1)
        self.host.boxes.append(box)
        for _ in range(self.rng.randrange(3)):
            self.process(box.place, box.first.number, box.paths, box)

    def pod(self, outer: Box | None) -> None:
        """A pod: pause, and one application or several, in one namespace or each in its own."""
        rng = self.rng
        uid = "-".join(map(self.hex, (8, 4, 4, 4, 12)))
        pod = f"{rng.choice(('shop', 'db-0', 'web'))}", uid
        shared = rng.random() < 0.3
        sandbox: Box | None = None
        for member in (None, *rng.sample(("app", "sidecar", "proxy"), rng.randrange(1, 3))):
            number = self.hex()
            own = sandbox is None or not shared
            place = self.namespace(self.host.root) if own else sandbox.place  # type: ignore[union-attr]
            paths = _everywhere(f"/kubepods/burstable/pod{uid}/{number}")
            box = Box("oci", number, place, paths, pod=pod, member=member)
            if member is None:
                sandbox = box
                box.first = self.process(place, self.runtime(None), paths, box, 1)
                self.host.boxes.append(box)
            else:
                self.fill(box, self.runtime(None), own)

    # What lies

    def spoof(self) -> None:
        """A user calls his own cgroup by the name of another's container."""
        victims = [it for it in self.host.boxes if len(it.id) == 64]
        if not victims or self.rng.random() < 0.6:
            return
        victim = self.rng.choice(victims)
        paths = self.session(f"{_USER}/docker-{victim.id}.scope")
        if self.rng.random() < 0.3 and victim.name:
            paths = self.session(f"{_USER}/{victim.name}")
        shell = self.process(self.host.root, 1, self.session(f"{_USER}/app.slice/sh.scope"))
        place = self.namespace(self.host.root)
        box = Box("docker", victim.id, place, paths, user=1001)
        if self.rng.random() < 0.5:
            self.fill(box, shell.number, True)
        else:
            box.place = self.host.root
            box.first = self.process(self.host.root, shell.number, paths, box)
            self.host.boxes.append(box)

    def enter(self) -> None:
        """Let a shell enter the namespace of a container: nsenter."""
        for box in self.host.boxes:
            if self.rng.random() < 0.1:
                self.process(box.place, 1, self.session(_SESSION))

    def move(self) -> None:
        """Move processes into the cgroups of containers, as root can."""
        rng = self.rng
        for box in self.host.boxes:
            mine = sum(it.box is box and it.place is box.place for it in self.host.processes)
            if box.user is not None or rng.random() < 0.75 or self._is_thin(box):
                continue
            for process in rng.sample(self.host.processes, rng.randrange(1, max(2, mine))):
                other = process.box
                if process.number > 1 and other is not box and not process.moved:
                    self._move(process, box)

    def _is_thin(self, box: Box) -> bool:
        """Whether more are there already that only pass through, or are monitors."""
        there = [it for it in self.host.processes if it.paths == box.paths and it.box is not box]
        return len(there) > box.monitors

    def _move(self, process: Process, box: Box) -> None:
        if self.host.version == "v1" and self.rng.random() < 0.3:
            process.paths = {**process.paths, "pids": box.paths["pids"]}
        else:
            process.paths = dict(box.paths)
        process.moved = True


def _everywhere(path: str) -> dict[str, str]:
    return dict.fromkeys(("systemd", "pids", "unified"), path)


_KINDS: tuple[Callable[[_Maker, Box | None], None], ...] = (
    _Maker.docker,
    _Maker.docker,
    _Maker.podman,
    _Maker.ctr,
    _Maker.lxc,
    _Maker.libvirt,
    _Maker.nspawn,
    _Maker.unknown,
    _Maker.pod,
)
