// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What tracepoints tell where functions cannot be hooked. None of them runs under tasklist_lock:
 * a birth is told of after it, before the task first runs (copy_process()), and an end a grace
 * period after the release (put_task_struct_rcu_user()). setpgid and setsid have no tracepoint of
 * their own but those of system calls, which slow every other call: groups and sessions are read
 * whenever a task is looked at.
 */
BPF_PERCPU_ARRAY(looked_at, struct birth_deep, 2);

/* What an exec tells otherwise than a birth. Its task leads its process: de_thread() saw to that. */
static __always_inline void complete(struct birth_head *b, u8 type, u32 old_tid)
{
	if (type != RECORD_EXECUTED_AS)
		return;
	b->head.ts_ns = bpf_ktime_get_boot_ns();
	b->tgid = old_tid;
}

/* A tracepoint can be preempted in: a reserved record would stall the ring. */
static __always_inline void emit_task(u32 of_program, u8 type, u64 task, u32 old_tid)
{
	struct lineage l;
	struct birth_deep *deep;

	read_lineage(&l, task);
	if (is_shallow(&l)) {
		struct birth r = {};

		fill_shallow(&r, type, &l, task);
		complete(&r.birth, type, old_tid);
		emit(&r, sizeof(r));
		return;
	}
	deep = looked_at.lookup(&of_program);
	if (deep) {	/* the deep type follows the shallow one in enum record_type */
		fill_deep(deep, type + 1, &l, task);
		complete(&deep->birth, type, old_tid);
		emit(deep, sizeof(*deep));
	}
}

#ifdef STEPS
static __always_inline void emit_created(u64 task, u64 flags)
{
	struct created r = {};

	begin(&r.head, RECORD_CREATED, task_nr(task));
	r.flags = flags;
	r.cgroup_id = task_cgroup_id(task);
	r.children_ns = task_children_ns(task);
	emit(&r, sizeof(r));
}
#endif

TRACEPOINT(task_newtask)
{
	u64 task = ctx[0];

	if (!task_nr(task))
		return 0;	/* fork_idle(): a CPU comes up */
	hit(HOOK_TASK_NEWTASK);
	emit_task(0, RECORD_BIRTH, task, 0);
#ifdef STEPS
	hit(HOOK_TASK_NEWTASK);
	emit_created(task, ctx[1]);
#endif
	return 0;
}

TRACEPOINT(sched_process_exec)
{
	hit(HOOK_SCHED_PROCESS_EXEC);
	emit_task(1, RECORD_EXECUTED_AS, ctx[0], ctx[1]);
	return 0;
}

TRACEPOINT(sched_process_free)
{
	struct task_freed r = {};
	u64 task = ctx[0];
	struct task_ids ids = task_ids(task);

	hit(HOOK_SCHED_PROCESS_FREE);
	begin(&r.head, RECORD_TASK_FREED, ids.nr);
	r.tgid = ids.tgid;
	r.start_ns = read_u64(task, TASK_START_BOOTTIME);
	emit(&r, sizeof(r));
	return 0;
}
