"""A host made of files: every kind of container, with the numbers that its processes have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HOST, WEB, POD, NESTED, SERVICE = range(70, 75)  # inums of PID namespaces
WEB_ID, PAUSE_ID, DB_ID, OUTER_ID = (digit * 64 for digit in "abcd")
_POD_UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
_POD = f"/kubepods/burstable/pod{_POD_UID}"
_DOCKER = f"/system.slice/docker-{WEB_ID}.scope"
_NGINX = "/system.slice/nginx.service"
# PID, namespace, cgroup, name, and the numbers below the host.
_TASKS = (
    (1, HOST, "/init.scope", "init"),
    (5, HOST, "/user.slice/user-0.slice/session-1.scope", "sh"),
    (20, WEB, _DOCKER, "nginx", 1),
    (21, WEB, _DOCKER, "worker", 17),
    (22, WEB, _DOCKER, "bash", 18),
    (23, WEB, _DOCKER, "dead", 19),
    (30, POD, f"{_POD}/{PAUSE_ID}", "pause", 1),
    (31, POD, f"{_POD}/{DB_ID}", "db", 7),
    (40, HOST, f"/docker/{OUTER_ID}", "dind"),
    (41, NESTED, f"/docker/{OUTER_ID}", "made", 1),
    (50, HOST, _NGINX, "nginx"),
    (51, SERVICE, _NGINX, "priv", 1),
    (60, HOST, "/system.slice/ssh.service", "ev\\nil"),
)
# What is not as with the others: alive, a child of PID 1, and its own group and session.
_MORE: dict[int, dict[str, Any]] = {
    21: {"ppid": 20},
    23: {"ppid": 20, "state": "Z (zombie)", "numbers": {"NSpgid": "21\t17", "NSsid": "20\t1"}},
    31: {"ppid": 30},
    41: {"ppid": 40},
    51: {"ppid": 50},
    60: {"numbers": {"NSpgid": "55", "NSsid": "54"}},
}


def write(root: Path) -> None:
    """Make such a /proc; its first process also has the kubelet's folder of container names."""
    root.mkdir()
    (root / "stat").write_text("cpu 0\nbtime 1700000000\nprocesses 9\n")
    (root / "loadavg").write_text("0 0 0 1/9 99\n")
    (root / "self").symlink_to("5")
    for pid, ns, cgroup, comm, *inner in _TASKS:
        _task(root, pid, ns, cgroup, comm, *inner, **_MORE.get(pid, {}))
    _name_containers(root / "1" / "root" / "var" / "log")


def _task(
    root: Path,
    pid: int,
    ns: int,
    cgroup: str,
    comm: str,
    *inner: int,
    ppid: int = 1,
    state: str = "S (sleeping)",
    numbers: dict[str, str] | None = None,
) -> None:
    """One single-threaded process; ``inner`` are its numbers below the host."""
    folder = root / str(pid)
    thread = folder / "task" / str(pid)
    thread.mkdir(parents=True)
    (folder / "ns").mkdir()
    (folder / "ns" / "pid").symlink_to(f"pid:[{ns}]")
    of_all_levels = "\t".join(map(str, (pid, *inner)))
    names = dict.fromkeys(("NStgid", "NSpid", "NSpgid", "NSsid"), of_all_levels)
    levels = "".join(f"{name}:\t{value}\n" for name, value in {**names, **(numbers or {})}.items())
    status = (
        f"Name:\t{comm}\nState:\t{state}\nTgid:\t{pid}\nPid:\t{pid}\n"
        f"PPid:\t{0 if pid == 1 else ppid}\nUid:\t0\t0\t0\t0\n{levels}"
    )
    for place in (folder, thread):
        (place / "status").write_text(status)
    start = f"{' '.join(['0'] * 18)} {pid} 0\n"
    (folder / "stat").write_text(f"{pid} ({comm}) {state[0]} {start}")
    (folder / "cgroup").write_text(f"1:name=systemd:/\n0::{cgroup}\n")


def _name_containers(logs: Path) -> None:
    """The folders in which a kubelet gives the names of a pod's containers."""
    pod = logs / "pods" / f"default_db-0_{_POD_UID}" / "db"
    pod.mkdir(parents=True)
    (pod / "0.log").write_text("")
    containers = logs / "containers"
    containers.mkdir()
    target = f"/var/log/pods/default_db-0_{_POD_UID}/db/0.log"
    (containers / f"db-0_default_db-{DB_ID}.log").symlink_to(target)
