// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The tracepoints that every way of probing has. */
#define TRACEPOINT(tp) int tp_##tp(u64 *ctx)

#ifdef STEPS	/* an exec tells its name itself, and a birth its forker's */
TRACEPOINT(task_rename)
{
	struct named r = {};

	hit(HOOK_TASK_RENAME);
	begin(&r.head, RECORD_RENAMED, task_nr(ctx[0]));
	bpf_probe_read_kernel_str(r.comm, COMM_LEN, (void *)ctx[1]);
	emit(&r, sizeof(r));
	return 0;
}
#endif

TRACEPOINT(sched_process_exit)
{
	struct released r = {};
	u64 task = ctx[0];
	struct task_ids ids = task_ids(task);

	hit(HOOK_SCHED_PROCESS_EXIT);
	begin(&r.head, RECORD_EXITED, ids.nr);
	r.tgid = ids.tgid;
	r.exit_code = read_u32(task, TASK_EXIT_CODE);
	emit(&r, sizeof(r));
	return 0;
}

TRACEPOINT(cgroup_attach_task)
{
	struct moved r = {};

	hit(HOOK_CGROUP_ATTACH_TASK);
	begin(&r.head, RECORD_MOVED, task_nr(ctx[2]));
	r.cgroup_id = cgroup_id(ctx[0]);
	emit(&r, sizeof(r));
	return 0;
}
