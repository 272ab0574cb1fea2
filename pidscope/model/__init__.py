"""A kernel in pure Python: the PID subsystem of Linux, split and named as the kernel splits it.

A reader who knows ``struct pid`` finds each thing by its name: `pid` has ``alloc_pid()`` and
``attach_pid()``, `fork` has ``copy_process()``, `exit` has ``forget_original_parent()``. A task
makes system calls through `syscalls.call`; each hook that pidscope attaches to in a real kernel
reports the same event here (`trace`), at the same place: where its function is entered, before the
change that it reports, or where that returns.

The machine is at rest between two calls: a task that a call kills has died when it returns. What
other CPUs can observe in the middle of a call, they observe here too (``Kernel.elsewhere``).
"""
