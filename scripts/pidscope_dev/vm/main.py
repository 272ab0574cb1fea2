"""Boot a stock Debian kernel under QEMU and run a command as root in it."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from pidscope_dev import CHECKOUT
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.vm import (
    apt,
    cache,
    engines,
    initramfs,
    packages,
    qemu,
    requirements,
    session,
    share,
    store,
    systemd,
)
from pidscope_dev.vm.errors import UsageError, VmError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

USAGE = "scripts/vm [OPTION…] -- CMD [ARGUMENT…]\n       scripts/vm --list"
EPILOG = """\
The guest sees this machine's root file system read-only, with a tmpfs overlay on top: the same
programs and checkout, and nothing that CMD writes is kept. CMD runs as root in the current
directory, in its own session, without a terminal and without standard input; its output comes
back live and unchanged. Its environment is PATH (first .venv/bin of this checkout), HOME, LANG,
LOGNAME, SHELL and USER; give it more with "env NAME=VALUE CMD". When CMD ends, so does the guest.
There is no network but loopback.

Kernels are downloaded from the Debian archive by apt, with signatures checked, never installed, and
kept in /var/cache/pidscope (for others than root: ~/.cache/pidscope). The first run with a kernel
needs the network, later ones do not. Root gets the small cloud flavour and virtiofs, others 9p.

--bcc does the same with python3-bpfcc and all the libraries that it needs, the C library included
(some 60 MB, unpacked 250): in the guest they lie over /usr, so the machine's Python finds that bcc.

--oci puts Debian's runc and crun, unpacked (10 MB), behind the machine's programs on PATH.

--engines lays Docker, containerd, Podman, LXC and systemd-nspawn of this machine's Debian, with all
that they need (some 150 MB, unpacked 480), over /usr. systemd is process 1, and CMD runs in a scope
of it. Cgroups are v2; "--append systemd.unified_cgroup_hierarchy=0" makes them hybrid, and with
"systemd.legacy_systemd_cgroup_controller=1" behind it v1.

--systemd boots a Debian suite's own root, made by debootstrap (as root only; 250 MB), with systemd
as process 1: nothing of this machine is there but the checkout, CMD's directory, and no .venv.

exit status:
  CMD's own, 128+n when signal n ended it, 126 or 127 when it could not be started; or
  2    wrong usage
  124  a time limit passed; the message says which one
  125  the virtual machine could not be started, or was lost (such as by a kernel panic)
  130, 143, 141  ended by Ctrl-C, by SIGTERM, or because no process reads the output any more
With 124 and 125, a message and the end of the guest's console are on standard error. A kernel that
panics before CMD is started is booted once more, which a line on standard error reports.

examples:
  scripts/vm -- uname -r
  scripts/vm --kernel 5.10 -- pidscope doctor
  scripts/vm --bcc newest -- pidscope doctor
  scripts/vm --oci -- pytest tests/kernel/test_containers.py
  scripts/vm --engines --memory 4096 --timeout 3600 -- scripts/engines --here
  scripts/vm --systemd trixie -- systemctl status
  scripts/vm --kernel newest --cpus 4 --append preempt=full -- pidscope verify
  scripts/vm -- sh -c 'echo c > /proc/sysrq-trigger'    (125, with the panic)
"""


ARGUMENTS: Arguments = {
    "--kernel": {
        "default": "6.1",
        "metavar": "VERSION",
        "help": "such as 5.10 or newest (default: 6.1)",
    },
    "--bcc": {
        "metavar": "VERSION",
        "help": "lay the archive's libbcc, such as 0.35 or newest, over the machine's programs",
    },
    "--oci": {"action": "store_true", "help": "give CMD runc and crun of this machine's Debian"},
    "--engines": {
        "action": "store_true",
        "help": "give CMD Debian's container engines and a running systemd",
    },
    "--systemd": {
        "metavar": "SUITE",
        "choices": apt.SUITES,
        "help": "boot the root of a Debian suite, such as trixie, with systemd",
    },
    "--cpus": {"type": int, "default": 2, "metavar": "N", "help": "(default: 2)"},
    "--memory": {
        "type": int,
        "default": 2048,
        "metavar": "MIB",
        "help": "in MiB (default: 2048)",
    },
    "--append": {
        "default": "",
        "metavar": "ARGUMENTS",
        "help": "more kernel arguments, in one word",
    },
    "--timeout": {
        "type": float,
        "default": 300.0,
        "metavar": "SECONDS",
        "help": "time limit from switching on to CMD's end (default: 300)",
    },
    "--idle": {
        "type": float,
        "default": float("inf"),
        "metavar": "SECONDS",
        "help": "time limit from each output of CMD to the next (default: none)",
    },
    "--share": {
        "choices": ("virtiofs", "9p"),
        "help": "how to share the root (default: the best)",
    },
    "--refresh": {"action": "store_true", "help": "look for newer ones than those in the cache"},
    "--list": {
        "action": "store_true",
        "help": "list the kernels and bccs that the archive offers",
    },
}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options and CMD. Raises UsageError; argparse itself exits with 2."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = command_line("scripts/vm", __doc__, ARGUMENTS, EPILOG)
    parser.usage = USAGE
    options, command = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    packages.check_request("--kernel", options.kernel)
    if options.bcc is not None:
        packages.check_request("--bcc", options.bcc)
    for good, otherwise in (
        (1 <= options.cpus <= 255, "--cpus takes a number from 1 to 255"),
        (options.memory >= 256, "--memory takes 256 MiB or more"),
        (0 < options.timeout < float("inf"), "--timeout takes a number of seconds above 0"),
        (options.idle > 0, "--idle takes a number of seconds above 0"),
        (
            not (options.engines and (options.bcc or options.oci)),
            "--engines brings runc and crun, and goes without --oci and --bcc",
        ),
        (
            not (options.systemd and (options.engines or options.bcc or options.oci)),
            "--systemd has nothing of this machine: no --engines, --oci or --bcc",
        ),
        (command or options.list, "no command: scripts/vm [OPTION…] -- CMD [ARGUMENT…]"),
    ):
        if not good:
            raise UsageError(otherwise)
    return options, command


def run(arguments: list[str]) -> int:
    """Carry out the arguments; return the exit status. Raises VmError, BrokenPipeError."""
    options, command = parse(arguments)
    requirements.check_machine()
    return list_kernels() if options.list else boot(options, command)


def list_kernels() -> int:
    """Print the kernels and bccs that the Debian archive offers."""
    lines = store.offered(cache.opened(cache.location()))
    os.write(sys.stdout.fileno(), "".join(f"{line}\n" for line in lines).encode())
    return 0


def boot(options: argparse.Namespace, command: list[str]) -> int:
    """Boot the machine and run CMD in it; return CMD's status."""
    requirements.check(requirements.TO_RUN)
    busybox = requirements.busybox()
    root = cache.opened(cache.location())
    kind = options.share or share.best()
    kernel = store.obtain_kernel(root, options.kernel, kind, options.refresh)
    runtimes = store.obtain_runtimes(root, options.refresh) if options.oci else None
    here = str(Path.cwd())
    token = secrets.token_hex(16)
    job = initramfs.Job(
        share=kind,
        token=token,
        command=command,
        directory=here,
        environment=environment(runtimes),
        keep=sorted({str(CHECKOUT), here}),
        modules_directory=str(kernel.modules),
        layer=layer(root, options),
    )
    job = with_systemd(job, root, options)
    limits = session.Limits(options.timeout, options.idle)
    base = initramfs.base(busybox, kernel.modules, kind, root / "initramfs")
    append = f"{engines.KERNEL_ARGUMENTS} {options.append}" if options.engines else options.append
    machine = qemu.Machine(kernel.image, kind, options.cpus, options.memory, append)
    return session.run(machine, base + job.archive(), token, limits)


def layer(root: Path, options: argparse.Namespace) -> str:
    """Return the directory whose usr is laid over the machine's own, or ""."""
    if options.engines:
        return str(store.obtain_engines(root, options.refresh))
    return str(store.obtain_bcc(root, options.bcc, options.refresh)) if options.bcc else ""


def with_systemd(job: initramfs.Job, root: Path, options: argparse.Namespace) -> initramfs.Job:
    """Return the job of a guest in which systemd is process 1, if one is asked for."""
    if options.engines:
        return replace(job, command=engines.started(job.command), init=str(engines.INIT))
    if options.systemd:
        return replace(
            job,
            command=systemd.started(job.command),
            environment={**job.environment, "PATH": SYSTEM_PATH},
            keep=systemd.outermost([*job.keep, job.modules_directory]),
            init=str(systemd.INIT),
            root=str(store.obtain_suite(root, options.systemd, options.refresh)),
        )
    return job


def environment(runtimes: Path | None) -> dict[str, str]:
    """Return CMD's environment: the same for every caller."""
    unpacked = f":{runtimes}/usr/sbin:{runtimes}/usr/bin" if runtimes else ""
    return {
        "PATH": f"{CHECKOUT}/.venv/bin:{SYSTEM_PATH}{unpacked}",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LOGNAME": "root",
        "SHELL": "/bin/sh",
        "USER": "root",
    }


def stop(number: int, _frame: FrameType | None) -> None:
    """Unwind on a signal, so that everything is cleaned up, undisturbed by another signal."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run, and print a failure as one message."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(list(arguments))
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except VmError as error:
        print(f"scripts/vm: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"scripts/vm: {error}", file=sys.stderr)
        return VmError.exit_status
