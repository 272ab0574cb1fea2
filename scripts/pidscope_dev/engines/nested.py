"""Docker in Docker: the engine of the questions runs in a container of the machine's own Docker.

Nothing is pulled: the outer container has the machine's /usr, and so its Docker.
"""

from __future__ import annotations

from pathlib import Path

from .docker import Docker
from .engine import CannotDo, EngineFailed, awaited
from .tasks import numbers, processes

_OUTER = "engine-outer"
# What docker's own image for this does on v2: a cgroup with children may have no processes.
_SCRIPT = """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    /bin/busybox mkdir -p /sys/fs/cgroup/init
    echo 1 >/sys/fs/cgroup/init/cgroup.procs
    for controller in $(/bin/busybox cat /sys/fs/cgroup/cgroup.controllers); do
        echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
    done
fi
export PATH=/usr/sbin:/usr/bin:/bin
exec dockerd --bridge=none --iptables=false --ip6tables=false --storage-driver=vfs
"""


class DockerInDocker(Docker):
    """Docker in a container of Docker. Its engine is not the host's, so no name is known."""

    name = "docker-in-docker"

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._outer = Docker(place / "outer")

    def prepare(self) -> None:
        self._outer.prepare()
        self._outer.remove(_OUTER)
        mounts = ["/run", "/tmp", "/var/lib/docker", "/var/lib/containerd"]
        options = ["--privileged", "--network=none", *(f"--tmpfs={it}:exec" for it in mounts)]
        for path in ("/usr", "/lib", "/lib64"):
            options.append(f"--volume={path}:{path}:ro")
        options.append(f"--volume={self._place}:{self._place}")
        self._outer.run(_OUTER, _SCRIPT, None, *options)
        self._before = ("docker", "exec", "--env=PATH=/usr/sbin:/usr/bin:/bin", _OUTER)
        try:
            awaited("docker in docker", self._is_up)
        except EngineFailed as error:
            last = self._outer.log(_OUTER).splitlines()[-1:]
            raise EngineFailed(f"{error}: {''.join(last)}") from error
        self._build()

    def _is_up(self) -> bool | None:
        try:
            self._call("version")
        except EngineFailed:
            return None
        return True

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        if pid == "host":
            raise CannotDo("its host is a container")
        super().start(name, script, pid)

    def init(self, name: str) -> int:
        """Return what has the engine's number in the outer container."""
        inside = super().init(name)
        for process in processes():
            try:
                found = numbers(process)
            except OSError:
                continue
            if len(found) == 3 and found[1] == inside:
                return process
        raise EngineFailed(f"no process is {inside} in {_OUTER}")

    def known_as(self, name: str) -> str:
        return self.number(name)

    def word(self, name: str) -> str:
        return f"id:{self.number(name)}"
