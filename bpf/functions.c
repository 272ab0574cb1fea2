// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The function hooks. One body a hook, attached as fentry/fexit (PROBES_FENTRY) or as
 * kprobe/kretprobe. The places of arguments (ARG_*) come from the kernel's BTF.
 *
 * State rests on four hooks that all run with tasklist_lock held for writing: attach_pid,
 * change_pid, detach_pid and exchange_tids, each at its *entry*. So the ring has them in the
 * order in which they happened, and whoever can see a change can also see its record's place
 * in the ring. The others annotate.
 *
 * Deep records are too large for the stack. They are reserved in the ring, which is safe
 * where nothing can preempt (tasklist_lock); everything else is copied in with output, since a
 * preempted reservation would stall all readers.
 *
 * STEPS are what the other records imply, and the first cost to be saved: every number that is
 * given out and taken back, what is transferred after an exchange, each task that copy_process
 * returns. alloc_pid and copy_process stay hooked for the errors that they return.
 */
#ifdef PROBES_FENTRY
#define ENTRY(fn) int enter_##fn(u64 *ctx)
#define EXIT(fn) int leave_##fn(u64 *ctx)
#define ARG(i) (ctx[i])
#define RETURNED(nr_args) (ctx[nr_args])
#else
#define ENTRY(fn) int enter_##fn(struct pt_regs *ctx)
#define EXIT(fn) int leave_##fn(struct pt_regs *ctx)
#define ARG(i) argument(ctx, i)
#define RETURNED(nr_args) PT_REGS_RC(ctx)

/* Least recently used ones go first: what a missed return leaves behind is never taken out. */
BPF_TABLE("lru_hash", u64, u64, clone_args, 10240);

static __always_inline u64 argument(struct pt_regs *ctx, int i)
{
	return i == 0 ? PT_REGS_PARM1(ctx) : i == 1 ? PT_REGS_PARM2(ctx)
	     : i == 2 ? PT_REGS_PARM3(ctx) : PT_REGS_PARM4(ctx);
}
#endif

/* Birth */

static __always_inline void emit_birth(u64 task, const struct lineage *l)
{
	struct birth r = {};

	fill_shallow(&r, RECORD_BIRTH, l, task);
	emit(&r, sizeof(r));
}

static __always_inline void emit_birth_deep(u64 task, const struct lineage *l)
{
	struct birth_deep *r = events.ringbuf_reserve(sizeof(struct birth_deep));

	if (!r) {
		count_lost();
		return;
	}
	fill_deep(r, RECORD_BIRTH_DEEP, l, task);
	events.ringbuf_submit(r, 0);
}

ENTRY(attach_pid)
{
	struct lineage l;
	u64 task = ARG(ARG_ATTACH_TASK);

	hit(HOOK_ATTACH_PID);
	if ((u32)ARG(ARG_ATTACH_TYPE) != PIDTYPE_PID)
		return 0;
	read_lineage(&l, task);
	if (is_shallow(&l))
		emit_birth(task, &l);
	else
		emit_birth_deep(task, &l);
	return 0;
}

/* One struct pid */

static __always_inline void emit_pid(u8 type, u32 tid, u32 pid_type, u64 pid, u32 level)
{
	struct one_pid r = {};

	begin(&r.head, type, tid);
	r.head.level = level;
	r.ns = peek_inum(pid_ns(pid, level));
	r.pid_type = pid_type;
	READ_NUMBERS(r.nr, PID_LEVELS, pid, level);
	emit(&r, sizeof(r));
}

static __always_inline void emit_pid_deep(u8 type, u32 tid, u32 pid_type, u64 pid, u32 level)
{
	struct one_pid_deep r = {};

	begin(&r.head, type, tid);
	r.head.level = level;
	r.ns = peek_inum(pid_ns(pid, level));
	r.pid_type = pid_type;
	READ_NUMBERS(r.nr, NR_LEVELS, pid, level);
	emit(&r, sizeof(r));
}

static __always_inline void emit_one(u8 type, u32 tid, u32 pid_type, u64 pid)
{
	u32 level = read_u32(pid, PID_LEVEL);

	if (level < PID_LEVELS)
		emit_pid(type, tid, pid_type, pid, level);
	else	/* the deep type follows the shallow one in enum record_type */
		emit_pid_deep(type + 1, tid, pid_type, pid, level);
}

ENTRY(change_pid)
{
	u32 pid_type = ARG(ARG_CHANGE_TYPE);

	hit(HOOK_CHANGE_PID);
	emit_one(RECORD_CHANGED, task_nr(ARG(ARG_CHANGE_TASK)), pid_type, ARG(ARG_CHANGE_PID));
	return 0;
}

static __always_inline void emit_refused(u32 error)
{
	struct refused r = {};

	begin(&r.head, RECORD_REFUSED, 0);
	r.error = error;
	emit(&r, sizeof(r));
}

EXIT(alloc_pid)
{
	u64 pid = RETURNED(NR_ARGS_ALLOC_PID);

	if (pid >= -ERR_LAST) {
		hit(HOOK_ALLOC_PID);
		emit_refused(-pid);
	}
#ifdef STEPS
	else {
		hit(HOOK_ALLOC_PID);
		emit_one(RECORD_ALLOCATED, pid_nr(pid), PIDTYPE_PID, pid);
	}
#endif
	return 0;
}

#ifdef STEPS
ENTRY(free_pid)
{
	u64 pid = ARG(0);

	hit(HOOK_FREE_PID);
	emit_one(RECORD_FREED, pid_nr(pid), PIDTYPE_PID, pid);
	return 0;
}
#endif

/* A task's PID changes hands, or ends */

ENTRY(detach_pid)
{
	struct released r = {};
	struct task_ids ids;
	u64 task = ARG(ARG_DETACH_TASK);

	hit(HOOK_DETACH_PID);
	if ((u32)ARG(ARG_DETACH_TYPE) != PIDTYPE_PID)
		return 0;
	ids = task_ids(task);
	begin(&r.head, RECORD_RELEASED, ids.nr);
	r.tgid = ids.tgid;
	r.exit_code = read_u32(task, TASK_EXIT_CODE);
	emit(&r, sizeof(r));
	return 0;
}

ENTRY(exchange_tids)
{
	struct exchanged r = {};
	u64 left = ARG(ARG_EXCHANGE_LEFT);
	u64 right = ARG(ARG_EXCHANGE_RIGHT);

	hit(HOOK_EXCHANGE_TIDS);
	begin(&r.head, RECORD_EXCHANGED, task_nr(left));
	r.leader = task_nr(right);
	r.start_ns = read_u64(left, TASK_START_BOOTTIME);
	r.leader_start_ns = read_u64(right, TASK_START_BOOTTIME);
	emit(&r, sizeof(r));
	return 0;
}

#ifdef STEPS
ENTRY(transfer_pid)
{
	struct transferred r = {};

	hit(HOOK_TRANSFER_PID);
	begin(&r.head, RECORD_TRANSFERRED, task_nr(ARG(ARG_TRANSFER_NEW)));
	r.old = task_nr(ARG(ARG_TRANSFER_OLD));
	r.pid_type = ARG(ARG_TRANSFER_TYPE);
	emit(&r, sizeof(r));
	return 0;
}
#endif

/* copy_process */

static __always_inline void emit_created(u64 task, u64 args)
{
	struct created r = {};
	u64 current = bpf_get_current_task();
	int failed = task >= -ERR_LAST;

#ifndef STEPS
	if (!failed)
		return;
#endif
	hit(HOOK_COPY_PROCESS);
	begin(&r.head, failed ? RECORD_FORK_FAILED : RECORD_CREATED,
	      failed ? 0 : peek_u32(task, TASK_PID));
	r.flags = args ? peek_u64(args, CLONE_ARGS_FLAGS) : 0;
	r.cgroup_id = task_cgroup_id(failed ? current : task);
	r.children_ns = task_children_ns(failed ? current : task);
	r.error = failed ? -task : 0;
	emit(&r, sizeof(r));
}

#ifdef PROBES_FENTRY
EXIT(copy_process)
{
	emit_created(RETURNED(NR_ARGS_COPY_PROCESS), ARG(ARG_COPY_PROCESS_ARGS));
	return 0;
}
#else
/* A kretprobe sees no arguments: the entry keeps them for it. */
ENTRY(copy_process)
{
	u64 current = bpf_get_current_task();
	u64 args = ARG(ARG_COPY_PROCESS_ARGS);

	clone_args.update(&current, &args);
	return 0;
}

EXIT(copy_process)
{
	u64 current = bpf_get_current_task();
	u64 *args = clone_args.lookup(&current);

	emit_created(RETURNED(NR_ARGS_COPY_PROCESS), args ? *args : 0);
	clone_args.delete(&current);
	return 0;
}
#endif

/* Namespaces */

static __always_inline void emit_ns(u8 type, u64 ns)
{
	struct ns_event r = {};

	begin(&r.head, type, 0);
	r.head.level = read_u32(ns, NS_LEVEL);
	r.ns = read_u32(ns, NS_INUM);
	r.ns_parent = read_u32(read_u64(ns, NS_PARENT), NS_INUM);
	emit(&r, sizeof(r));
}

EXIT(copy_pid_ns)
{
	u64 ns = RETURNED(NR_ARGS_COPY_PID_NS);
	u64 nsproxy = peek_u64(bpf_get_current_task(), TASK_NSPROXY);

	/* Without CLONE_NEWPID it returns the one that current's children go to anyway. */
	if (ns >= -ERR_LAST || ns == peek_u64(nsproxy, NSPROXY_CHILDREN))
		return 0;
	hit(HOOK_COPY_PID_NS);
	emit_ns(RECORD_NS_CREATED, ns);
	return 0;
}

ENTRY(zap_pid_ns_processes)
{
	hit(HOOK_ZAP_PID_NS_PROCESSES);
	emit_ns(RECORD_NS_DYING, ARG(0));
	return 0;
}

/* A tracepoint, but each way of probing tells its own of an exec. */

TRACEPOINT(sched_process_exec)
{
	struct named r = {};

	hit(HOOK_SCHED_PROCESS_EXEC);
	begin(&r.head, RECORD_EXECUTED, task_nr(ctx[0]));
	r.old_tid = ctx[1];
	read_comm(r.comm, ctx[0]);
	emit(&r, sizeof(r));
	return 0;
}
