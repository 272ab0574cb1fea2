"""The QEMU command line of one virtual machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .share import TAG

PROGRAM = "qemu-system-x86_64"
PORTS = ("out", "err", "status")
CHANNELS = ("console", *PORTS)
CHARDEVS = (*CHANNELS, "fs")

# Quiet, except for a panic, which raises the console's level itself and ends the machine. A CPU
# that has been stuck in the kernel for two minutes is a panic, too: the machine is then lost with a
# trace, instead of running at full load into a time limit. Observed under TCG: the first
# memory cgroup turns on a static key in kmem_cache_alloc(), the kernel changes that code while the
# other CPU runs it, and that CPU never gets past it. Without kmem the key stays off.
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=1 panic=-1 tsc=reliable no_timer_check "
    "softlockup_panic=1 watchdog_thresh=60 cgroup.memory=nokmem"
)


@dataclass(frozen=True)
class Machine:
    """What to boot and with how much of everything."""

    kernel: Path
    share: str
    cpus: int
    memory: int
    append: str

    def command(self, initrd: int, channels: dict[str, int]) -> list[str]:
        """Return QEMU's arguments; initrd and the channels (of CHARDEVS) are descriptors."""
        return [
            *(PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            # Never KVM: nested, ordinary guests may hang at boot. Nehalem boots fastest under TCG.
            *("-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", str(self.cpus)),
            *("-object", f"memory-backend-memfd,id=memory,size={self.memory}M,share=on"),
            *("-m", str(self.memory), "-machine", "pc,memory-backend=memory"),
            *("-kernel", str(self.kernel), "-initrd", f"/proc/self/fd/{initrd}"),
            *("-append", f"{KERNEL_ARGUMENTS} {self.append}".strip()),
            *_chardevs(channels),
            *("-serial", "chardev:console", "-device", "virtio-serial-pci"),
            *_ports(),
            *self._share_arguments(),
        ]

    def _share_arguments(self) -> list[str]:
        if self.share == "virtiofs":
            return ["-device", f"vhost-user-fs-pci,chardev=fs,tag={TAG},queue-size=1024"]
        local = "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"
        return ["-fsdev", local, "-device", f"virtio-9p-pci,fsdev=root,mount_tag={TAG}"]


def _chardevs(channels: dict[str, int]) -> list[str]:
    return [
        word
        for name, number in channels.items()
        for word in ("-chardev", f"socket,id={name},fd={number}")
    ]


def _ports() -> list[str]:
    return [
        word
        for number, name in enumerate(PORTS, start=1)
        for word in ("-device", f"virtserialport,chardev={name},name={name},nr={number}")
    ]
