"""A host made of files: every kind of container, with the numbers that its processes have."""

from __future__ import annotations

from pathlib import Path

HOST, WEB, POD, NESTED, SERVICE = range(70, 75)  # inums of PID namespaces
WEB_ID, PAUSE_ID, DB_ID, OUTER_ID = (digit * 64 for digit in "abcd")
_POD_UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
_POD = f"/kubepods/burstable/pod{_POD_UID}"
_DOCKER = f"/system.slice/docker-{WEB_ID}.scope"
_NGINX = "/system.slice/nginx.service"


def write(root: Path) -> None:
    """Make such a /proc; its first process also has the kubelet's folder of container names."""
    root.mkdir()
    (root / "stat").write_text("cpu 0\nbtime 1700000000\nprocesses 9\n")
    (root / "loadavg").write_text("0 0 0 1/9 99\n")
    (root / "self").symlink_to("5")
    _task(root, 1, HOST, "/init.scope", "init")
    _task(root, 5, HOST, "/user.slice/user-0.slice/session-1.scope", "sh")
    _task(root, 20, WEB, _DOCKER, "nginx", 1)
    _task(root, 21, WEB, _DOCKER, "worker", 17, ppid=20)
    _task(root, 22, WEB, _DOCKER, "bash", 18)
    group = {"NSpgid": "21\t17", "NSsid": "20\t1"}
    _task(root, 23, WEB, _DOCKER, "dead", 19, ppid=20, state="Z (zombie)", numbers=group)
    _task(root, 30, POD, f"{_POD}/{PAUSE_ID}", "pause", 1)
    _task(root, 31, POD, f"{_POD}/{DB_ID}", "db", 7, ppid=30)
    _task(root, 40, HOST, f"/docker/{OUTER_ID}", "dind")
    _task(root, 41, NESTED, f"/docker/{OUTER_ID}", "made", 1, ppid=40)
    _task(root, 50, HOST, _NGINX, "nginx")
    _task(root, 51, SERVICE, _NGINX, "priv", 1, ppid=50)
    others = {"NSpgid": "55", "NSsid": "54"}
    _task(root, 60, HOST, "/system.slice/ssh.service", "ev\\nil", numbers=others)
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
