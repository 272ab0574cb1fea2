"""A kernel in pure Python: the PID subsystem of Linux, split and named as the kernel splits it.

Whoever has read about ``struct pid`` finds each thing by its name: `pid` has ``alloc_pid()`` and
``attach_pid()``, `fork` has ``copy_process()``, `exit` has ``forget_original_parent()``. A task
makes system calls through `syscalls.call`; each hook that pidscope attaches to in a real kernel
tells the same event here (`trace`), at the same place: where its function is entered, before the
change it tells of, or where that returns.

It is one machine at rest between two calls: whoever a call kills has died when it returns. What
other CPUs can see in the middle of a call, they see here too (``Kernel.elsewhere``).
"""
