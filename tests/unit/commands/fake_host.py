"""A host made of files: its /proc with containers, and what their runtimes keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pidscope.host.proc
from tests.unit.commands.asked import Answer

HOST = 70  # inum of its PID namespace
UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"  # of a pod


class FakeHost:
    """A directory that looks like a host's /proc, and below ``host`` that host's files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "stat").write_text("cpu 0\nbtime 1700000000\nprocesses 9\n")
        (root / "loadavg").write_text("0 0 0 1/9 99\n")
        (root / "self").symlink_to("5")
        self.host = root / "1" / "root"
        self.host.mkdir(parents=True)
        self.add(1, HOST, "/init.scope")
        self.add(5, HOST, "/user.slice/user-0.slice/session-1.scope")
        self.see_cgroups(0xEFFFFFFB)

    def see_cgroups(self, inum: int) -> None:
        """The reader's cgroup namespace; a file cannot have the inum of the initial one."""
        self.cgroup_ns = inum

    def add(self, number: int, inum: int, cgroup: str, *inner: int, ppid: int = 1) -> None:
        """A process by its number here and further in, in a namespace and a cgroup.

        ``cgroup`` is one path of v2, or a whole file.
        """
        task = self.root / str(number)
        (task / "ns").mkdir(parents=True)
        (task / "task" / str(number)).mkdir(parents=True)
        (task / "ns" / "pid").symlink_to(f"pid:[{inum}]")
        numbers = "\t".join(map(str, (number, *inner)))
        lines = "".join(f"{key}:\t{numbers}\n" for key in ("NStgid", "NSpid", "NSpgid", "NSsid"))
        (task / "status").write_text(
            f"Name:\tx\nState:\tS (sleeping)\nTgid:\t{number}\nPid:\t{number}\n"
            f"PPid:\t{0 if number == 1 else ppid}\n{lines}"
        )
        fields = " ".join(["0"] * 18)
        (task / "stat").write_text(f"{number} (x) S {fields} {number} 0\n")
        text = cgroup if "\n" in cgroup else f"1:name=systemd:/\n0::{cgroup}\n"
        (task / "cgroup").write_text(text)

    def put_file(self, path: str, text: str) -> None:
        """A file below the host's root directory."""
        file = self.host / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def put_state(self, runtime: str, name: str, state: Answer) -> str:
        """The state file of runc or crun; its path."""
        file = "state.json" if runtime == "runc" else "status"
        self.put_file(f"run/{runtime}/{name}/{file}", json.dumps(state))
        return f"/run/{runtime}/{name}/{file}"

    def link_log(self, pod: str, container: str, number: str) -> None:
        """The kubelet's directory of a pod and link for a container's log."""
        logs = self.host / "var/log"
        (logs / "containers").mkdir(parents=True, exist_ok=True)
        (logs / "pods" / f"default_{pod}_{UID}").mkdir(parents=True, exist_ok=True)
        if container:
            (logs / "containers" / f"{pod}_default_{container}-{number}.log").touch()


def fake_host(root: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host whose namespaces are taken for the initial ones: a file cannot have their inums."""
    fake = FakeHost(root)
    real = pidscope.host.proc.inum_of

    def inum_of(path: str) -> int:
        return fake.cgroup_ns if path.endswith("/self/ns/cgroup") else real(path)

    monkeypatch.setattr(pidscope.host.proc, "inum_of", inum_of)
    monkeypatch.setattr(pidscope.host.proc, "PROC_PID_INIT_INO", HOST)
    return fake
