r"""The forms of cgroup paths that runtimes make: one table, with the source of each.

A form is a piece of a path, in whole directories. ``{hole}`` stands for what varies (`HOLES`),
``[x]`` is optional. The ids and names in a path are foreign: escape them before they are printed.

Of the forms that fit at a directory the first in this order holds. A form without a runtime is no
container, but a pod or a virtual machine. What watches a container from beside it (conmon, the
monitor of LXC) has a cgroup that no form fits.
"""

from __future__ import annotations

from typing import NamedTuple

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ANY = "[^/]"  # no directory's name has a slash; a newline is refused by cgroup_mkdir()

# What a hole stands for, as a regular expression. The group ``id`` is the runtime's id, ``name`` a
# person's name (the id as well, if there is no other), ``unit`` such a name as systemd escapes it
# in a unit's, ``pod`` the uid of a pod: a UUID, or of a static pod the hash of its manifest.
HOLES = {
    "hex64": "(?P<id>[0-9a-f]{64})",
    "hex32": "(?P<id>[0-9a-f]{32})",
    "uuid": f"(?P<id>{_UUID})",
    "guid": "(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-(?:[0-9a-f]{12}|[0-9a-f]{4}))",
    "base36": "(?P<id>[0-9a-z]{25})",
    "id": f"(?P<id>{_ANY}+)",
    "name": f"(?P<name>{_ANY}+)",
    "unit": f"(?P<unit>{_ANY}+)",
    "pid": "(?P<id>[0-9]{1,10})",
    "job": "(?P<id>job_[0-9]{1,20})",
    "task": "(?P<id>[0-9a-f]{32}-[0-9]{1,20})",
    "alloc": rf"(?P<id>{_UUID}\.(?P<name>{_ANY}+))",
    "pod": "(?P<pod>[0-9a-f]{32}|[0-9a-f]{8}(?P<sep>[-_])[0-9a-f]{4}(?P=sep)[0-9a-f]{4}(?P=sep)"
    "[0-9a-f]{4}(?P=sep)[0-9a-f]{12})",
    "podman_pod": "(?P<pod>[0-9a-f]{64})",
    "number": "[0-9]{1,20}",
    "any": f"{_ANY}*",
}


class Rule(NamedTuple):
    """One form, and what it says."""

    runtime: str | None  # None: no container
    form: str
    id_is: str  # what its id is; or, of no container, what it is
    source: str  # where the form was learnt
    path: str  # one that has the form
    at_top: bool = False  # only right below the root, or the cgroup of the container around it


_A = "3f9c1d7e5b2a8046" * 4
_B = "a1b2c3d4e5f60718" * 4
_U = "5d3f0b6a-91c2-4e7f-8a10-2b6c4d8e9f01"
_U_UNIT = _U.replace("-", "_")
_ENGINE = "the engine's, 64 hexadecimal digits"
_MACHINE = "the machine's name"
_POD = "a pod"
_POD_SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{_U_UNIT}.slice"
_USER = "/user.slice/user-1000.slice/user@1000.service"

FORMS = (
    # systemd: the unit says what runs in it, below it are the payload and its supervisor.
    Rule("nspawn", "systemd-nspawn@{unit}.service/payload", _MACHINE, "systemd-nspawn 252, v2",
         r"/machine.slice/systemd-nspawn@a\x2db.service/payload/init.scope"),
    Rule("nspawn", "container@{unit}.service/payload", _MACHINE, "NixOS 23.05 containers",
         "/machine.slice/container@webapp.service/payload/system.slice/nginx.service"),
    Rule("nspawn", "machine-{unit}.scope/payload", _MACHINE, "systemd-nspawn 252, v2",
         "/machine.slice/machine-c1.scope/payload"),
    Rule("nspawn", "systemd-nspawn@{unit}.service", _MACHINE, "systemd 219 (v1); 252, v1's pids",
         "/machine.slice/systemd-nspawn@c1.service"),
    Rule("libvirt", r"machine-lxc\x2d{number}\x2d{unit}.scope", "the domain's name",
         "libvirt 9, virSystemdMakeScopeName", r"/machine.slice/machine-lxc\x2d1231\x2dvmc.scope"),
    Rule("libvirt", r"machine-lxc\x2d{unit}.scope", "the domain's name",
         "libvirt 1.2, without the domain's number", r"/machine.slice/machine-lxc\x2dweb01.scope"),
    Rule(None, r"machine-qemu\x2d{any}.scope", "a virtual machine", "libvirt, with and without "
         "the domain's number; netdata#8353",
         r"/machine.slice/machine-qemu\x2dnode01\x2dweb.scope/libvirt/emulator"),
    Rule("rkt", r"machine-rkt\x2d{unit}.scope", "the pod's UUID", "rkt 1.30",
         r"/machine.slice/machine-rkt\x2d5d3f0b6a\x2d91c2.scope/system.slice/web.service"),
    Rule("nspawn", "machine-{unit}.scope", _MACHINE, "systemd-nspawn 219 (v1)",
         "/machine.slice/machine-c1.scope"),
    # Kubernetes: a pod's cgroup, and in it the engines' own forms.
    Rule("containerd", "{any}pod{pod}.slice:cri-containerd:{hex64}", _ENGINE,
         "containerd 1.6 with runc's cgroupfs driver and the kubelet's systemd driver",
         f"/system.slice/containerd.service/kubepods-burstable-pod{_U_UNIT}.slice"
         f":cri-containerd:{_A}"),
    Rule("crio", "{any}pod{pod}.slice:crio:{hex64}", _ENGINE, "CRI-O 1.20, likewise",
         f"/kubepods-pod{_U_UNIT}.slice:crio:{_A}"),
    Rule(None, "[{any}-]pod{pod}[.slice]", _POD, "Kubernetes 1.28, pkg/kubelet/cm",
         f"/kubepods/burstable/pod{_U}"),
    Rule(None, "libpod_parent/{podman_pod}", _POD, "Podman 4.3, cgroupfs driver",
         f"/libpod_parent/{_B}"),
    Rule(None, "{any}-libpod_pod_{podman_pod}.slice", _POD, "Podman 4.3, systemd driver",
         f"/machine.slice/machine-libpod_pod_{_B}.slice"),
    # Engines.
    Rule("docker", "docker/{hex64}[.scope]", _ENGINE, "Docker 20.10; Datadog agent (.scope)",
         f"/docker/{_A}"),
    Rule("docker", "docker-{hex64}[.scope]", _ENGINE, "Docker 20.10, systemd driver; rootless",
         f"{_USER}/user.slice/docker-{_A}.scope"),
    Rule("docker", "{any}:docker:{hex64}", _ENGINE, "Docker 20.10, a slice without the driver",
         f"/system.slice:docker:{_A}"),
    Rule("docker", "ecs/{any}/{hex64}", _ENGINE, "Amazon ECS agent 1.60 on EC2",
         f"/ecs/{_U}/{_A}"),
    Rule("ecs", "ecs/{any}/{task}", "the task's and the container's", "AWS Fargate 1.4; "
         "Datadog agent", "/ecs/9b7d2c4e8f013a56b2c4d6e8f0a1b3c5/"
         "9b7d2c4e8f013a56b2c4d6e8f0a1b3c5-1928374650"),
    Rule("buildkit", "[docker/]buildkit/{base36}", "the build step's", "Docker 24, docker build",
         "/docker/buildkit/m2q9wtrz4kd1x8b6yhv0c7nfe"),
    Rule("buildkit", "{any}:docker:{base36}", "the build step's", "Docker 24, systemd driver",
         "/system.slice/system.slice:docker:m2q9wtrz4kd1x8b6yhv0c7nfe"),
    Rule("containerd", "cri-containerd-{hex64}[.scope]", _ENGINE, "containerd 1.6",
         f"{_POD_SLICE}/cri-containerd-{_A}.scope"),
    Rule("containerd", "{any}:cri-containerd:{hex64}", _ENGINE, "containerd 1.6",
         f"/system.slice:cri-containerd:{_A}"),
    Rule("containerd", "nerdctl-{hex64}[.scope]", _ENGINE, "nerdctl 1.0",
         f"/system.slice/nerdctl-{_A}.scope"),
    Rule("containerd", "{any}:nerdctl:{hex64}", _ENGINE, "nerdctl 1.0", f"/a:nerdctl:{_A}"),
    Rule("containerd", "default/{id}", "the id in containerd's namespace default",
         "containerd 1.6, ctr run", "/default/ctr-one", True),
    Rule("containerd", "k8s.io/{id}", "the id in containerd's namespace k8s.io",
         "containerd 1.6, ctr -n k8s.io run", f"/k8s.io/{_A}", True),
    Rule("crio", "crio-{hex64}[.scope]", _ENGINE, "CRI-O 1.24", f"{_POD_SLICE}/crio-{_A}.scope"),
    Rule("crio", "{any}:crio:{hex64}", _ENGINE, "CRI-O 1.20", f"/system.slice:crio:{_A}"),
    Rule("podman", "libpod-{hex64}[.scope]", _ENGINE, "Podman 4.3; rootless",
         f"{_USER}/user.slice/libpod-{_A}.scope/container"),
    Rule("podman", "libpod-payload-{hex64}", _ENGINE, "Podman 4.3, --cgroups=split (Quadlet)",
         f"/system.slice/web.service/libpod-payload-{_A}"),
    Rule("podman", "{any}:libpod:{hex64}", _ENGINE, "Podman 3, a slice without the driver",
         f"/machine.slice:libpod:{_A}"),
    Rule("runc", "runc-{name}.scope", "the name given to runc", "runc 1.1, systemd driver; buildah",
         "/user.slice/user-0.slice/runc-web.scope"),
    Rule("crun", "crun-{name}.scope", "the name given to crun", "crun 1.8, systemd driver; buildah",
         "/system.slice/crun-buildah-buildah2754860408.scope"),
    Rule("lxc", "lxc.payload.{name}", "the container's name", "LXC 4, Incus, LXD",
         "/lxc.payload.c1/init.scope"),
    Rule("lxc", "lxc.payload/{name}", "the container's name", "LXC 3.1", "/lxc.payload/c1"),
    Rule("lxc", "lxc/{name}", "the container's name", "LXC 2, Proxmox VE 7", "/lxc/101/ns"),
    # Platforms and batch systems.
    Rule("garden", "garden/[{any}/]{guid}", "the handle", "Cloud Foundry Garden; Elastic apm-agent",
         "/system.slice/garden.service/garden/41ac93d0-77f1-4b02-5dd9-18e3"),
    Rule("garden", "garden/[{any}/]{guid}-{any}", "the handle", "Cloud Foundry, health checks",
         "/garden/41ac93d0-77f1-4b02-5dd9-18e3-liveness-healthcheck-0"),
    Rule("garden", "runit.service/{guid}", "the handle", "Concourse 4, guardian's own tests",
         "/system.slice/runit.service/5d3f0b6a-91c2-4e7f-8a10-2b6c4d8e9f01"),
    Rule("mesos", "mesos/{uuid}", "the container's", "Apache Mesos 1.11", f"/mesos/{_U}"),
    Rule("nomad", "nomad.slice/[{any}.slice/]{alloc}.scope", "the allocation's and the task's",
         "Nomad 1.7, v2", f"/nomad.slice/share.slice/{_U}.web.scope"),
    Rule("nomad", "nomad/[{any}/]{alloc}", "the allocation's and the task's", "Nomad 1.7, v1",
         f"/nomad/{_U}.web"),
    Rule("nomad", "nomad/{uuid}", "the executor's", "Nomad 1.0, v1", f"/nomad/{_U}"),
    Rule("slurm", "slurm{any}/uid_{number}/{job}", "the job's number", "Slurm 20, v1",
         "/slurm/uid_1000/job_280678/step_0/task_0"),
    Rule("slurm", "{any}slurmstepd.scope/{job}", "the job's number", "Slurm 22.05, v2",
         "/system.slice/slurmstepd.scope/job_1392969/step_0/user/task_0"),
    Rule("apptainer", "apptainer-{pid}.scope", "the PID of its first process", "Apptainer 1.1, "
         "systemd driver", f"{_USER}/user.slice/apptainer-4411.scope"),
    Rule("apptainer", "apptainer/{pid}", "the PID of its first process", "Apptainer 1.1, "
         "cgroupfs driver", "/apptainer/4411"),
    Rule("singularity", "singularity-{pid}.scope", "the PID of its first process",
         "SingularityCE 3.10, systemd driver", "/system.slice/singularity-4411.scope"),
    Rule("singularity", "singularity/{pid}", "the PID of its first process",
         "SingularityCE 3.10, cgroupfs driver", "/singularity/4411"),
    Rule("htcondor", "htcondor/{name}", "the slot's directory", "HTCondor 9, BASE_CGROUP",
         "/htcondor/condor_var_lib_condor_execute_slot1@node7"),
    Rule("pbs", "pbs_jobs.service/jobid/{name}", "the job's", "OpenPBS 20, hook pbs_cgroups",
         "/pbs_jobs.service/jobid/4711.head"),
    Rule("yarn", "hadoop-yarn/{name}", "the container's", "Hadoop 3, NodeManagerCgroups",
         "/hadoop-yarn/container_1409135750325_48141_01_000005"),
    Rule("flatpak", "app-flatpak-{name}.scope", "the application's, and the PID that started it",
         "Flatpak 1.14", f"{_USER}/app.slice/app-flatpak-org.gnome.Maps-4411.scope"),
    # systemd-nspawn makes /payload and /supervisor below any unit in which it runs.
    Rule("?", "{unit}.service/payload", "the unit's name",
         "systemd's CGROUP_DELEGATION; systemd-nspawn --keep-unit in any service",
         "/system.slice/builder.service/payload/init.scope"),
    Rule("?", "{unit}.scope/payload", "the unit's name",
         "systemd's CGROUP_DELEGATION; systemd-nspawn --keep-unit in systemd-run --scope",
         "/user.slice/user-0.slice/run-r7.scope/payload"),
    Rule(None, "kata_overhead/{any}", "a virtual machine", "Kata Containers 2, host-cgroups.md",
         f"/kata_overhead/{_A}"),
    # No runtime is named: of Docker under a parent of its own (/actions_job), of a pod, or another.
    Rule("oci", "{hex64}", _ENGINE, "Docker 20.10, --cgroup-parent; GitHub Actions",
         f"/actions_job/{_A}"),
)  # fmt: skip
