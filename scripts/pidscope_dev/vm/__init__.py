"""Boot a stock Debian kernel under QEMU and run one command in it (see ``scripts/vm --help``).

Who may import whom: ``errors``, ``cpio`` and ``stream`` import nothing of ours; ``versions``,
``kernels``, ``bccs`` and ``modules`` turn text and files into answers; ``apt``, ``cache``,
``requirements`` and ``store`` get a kernel or a bcc; ``initramfs``, ``share`` and ``qemu`` prepare
the machine and ``session`` runs it. Only ``scripts/vm`` puts the last four together with ``store``.
``init.sh`` and ``guest.sh`` run in the guest; ``readonly.py`` is a program of its own.
"""
