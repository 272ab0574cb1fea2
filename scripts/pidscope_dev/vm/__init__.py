"""Boot a stock Debian kernel under QEMU and run one command in it (see ``scripts/vm --help``).

``errors``, ``cpio`` and ``stream`` import no other module of pidscope; ``packages`` and ``modules``
turn text and files into answers; ``apt``, ``cache``, ``requirements`` and ``store`` get a kernel, a
bcc or container runtimes; ``initramfs``, ``share`` and ``qemu`` prepare the machine and ``session``
runs it. Only ``main`` imports these four together with ``store``. ``init.sh`` and ``guest.sh`` run
in the guest; ``readonly.py`` is its own program.
"""
