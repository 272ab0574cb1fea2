// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The programs. One body a hook, attached as fentry/fexit (PROBES_FENTRY) or as
 * kprobe/kretprobe; the tracepoints are raw ones in both.
 *
 * No kernel header is used: offsets (TASK_*, PID_*, ...) and the places of arguments (ARG_*)
 * come as -D constants from the running kernel's BTF.
 *
 * State rests on four hooks that all run with tasklist_lock held for writing: attach_pid,
 * change_pid, detach_pid and exchange_tids, each at its *entry*. So the ring has them in the
 * order in which they happened, and whoever can see a change can also see its record's place
 * in the ring. The others annotate.
 *
 * Deep records are too large for the stack. They are reserved in the ring, which is safe
 * where nothing can preempt (tasklist_lock); everything else is copied in with output, since a
 * preempted reservation would stall all readers.
 */
#include <uapi/linux/ptrace.h>
#include "record.h"

#define ERR_LAST 4095UL


BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_F_TABLE("array", u32, u64, lost, 1, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(hits, u64, NR_HOOKS);

#ifdef PROBES_FENTRY
#define ENTRY(fn) int kfunc__##fn(u64 *ctx)
#define EXIT(fn) int kretfunc__##fn(u64 *ctx)
#define ARG(i) (ctx[i])
#define RETURNED(nr_args) (ctx[nr_args])
#else
#define ENTRY(fn) int enter_##fn(struct pt_regs *ctx)
#define EXIT(fn) int leave_##fn(struct pt_regs *ctx)
#define ARG(i) argument(ctx, i)
#define RETURNED(nr_args) PT_REGS_RC(ctx)

BPF_HASH(clone_args, u64, u64);

static __always_inline u64 argument(struct pt_regs *ctx, int i)
{
	return i == 0 ? PT_REGS_PARM1(ctx) : i == 1 ? PT_REGS_PARM2(ctx)
	     : i == 2 ? PT_REGS_PARM3(ctx) : PT_REGS_PARM4(ctx);
}
#endif

#define TRACEPOINT(tp) int tp_##tp(struct bpf_raw_tracepoint_args *ctx)

static __always_inline u64 read_u64(u64 base, u64 offset)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline u32 read_u32(u64 base, u64 offset)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

/* Counts the acts that a record is due for, whether or not it could be written. */
static __always_inline void hit(u32 hook)
{
	u64 *count = hits.lookup(&hook);

	if (count)
		(*count)++;
}

static __always_inline void count_lost(void)
{
	u32 zero = 0;
	u64 *count = lost.lookup(&zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void begin(struct record_head *head, u8 type, u32 tid)
{
	u32 zero = 0;
	u64 *count = lost.lookup(&zero);

	head->type = type;
	head->lost = count ? *count : 0;
	head->ts_ns = bpf_ktime_get_boot_ns();
	head->by = bpf_get_current_pid_tgid();
	head->tid = tid;
}

/* The reader comes by the clock: waking it for a record would cost more than the record. */
static __always_inline void emit(void *record, u64 size)
{
	if (events.ringbuf_output(record, size, BPF_RB_NO_WAKEUP))
		count_lost();
}

/* struct pid */

static __always_inline u64 pid_upid(u64 pid, u32 level)
{
	return pid + PID_NUMBERS + level * UPID_SIZE;
}

static __always_inline u64 pid_ns(u64 pid, u32 level)
{
	return read_u64(pid_upid(pid, level), UPID_NS);
}

static __always_inline u32 ns_inum(u64 ns)
{
	return ns ? read_u32(ns, NS_INUM) : 0;
}

static __always_inline u32 pid_nr(u64 pid)
{
	return read_u32(pid_upid(pid, 0), UPID_NR);
}

/*
 * Without a break, and unrolled: clang would turn it into a loop that counts by level alone,
 * which it knows to be small enough and the verifier does not.
 */
#define READ_NUMBERS(to, nr_levels, pid, level)                                 \
	_Pragma("unroll")                                                       \
	for (u32 i = 0; i < (nr_levels); i++) {                                 \
		if (i <= (level))                                               \
			bpf_probe_read_kernel(&(to)[i], sizeof(u32),            \
					      (void *)(pid_upid(pid, i) + UPID_NR)); \
	}

/* task_struct */

static __always_inline u32 task_nr(u64 task)
{
	return read_u32(task, TASK_PID);
}

static __always_inline u64 task_signal_pid(u64 task, u32 pid_type)
{
	return read_u64(read_u64(task, TASK_SIGNAL), SIGNAL_PIDS + pid_type * sizeof(u64));
}

static __always_inline u32 task_children_ns(u64 task)
{
	u64 nsproxy = read_u64(task, TASK_NSPROXY);

	return nsproxy ? ns_inum(read_u64(nsproxy, NSPROXY_CHILDREN)) : 0;
}

static __always_inline u64 cgroup_id(u64 cgroup)
{
	return read_u64(read_u64(cgroup, CGROUP_KN), KN_ID);
}

static __always_inline u64 task_cgroup_id(u64 task)
{
	return cgroup_id(read_u64(read_u64(task, TASK_CGROUPS), CSS_SET_CGROUP));
}

/* Birth */

struct lineage {
	u64 pid, pgid, sid;
	u32 level, pgid_level, sid_level;
};

static __always_inline void read_lineage(struct lineage *l, u64 task)
{
	l->pid = read_u64(task, TASK_THREAD_PID);
	l->pgid = task_signal_pid(task, PIDTYPE_PGID);
	l->sid = task_signal_pid(task, PIDTYPE_SID);
	l->level = read_u32(l->pid, PID_LEVEL);
	l->pgid_level = read_u32(l->pgid, PID_LEVEL);
	l->sid_level = read_u32(l->sid, PID_LEVEL);
}

static __always_inline void fill_birth(struct birth_head *b, struct birth_ns *n,
				       const struct lineage *l, u64 task)
{
	u64 ns = pid_ns(l->pid, l->level);

	b->head.level = l->level;
	b->head.pgid_level = l->pgid_level;
	b->head.sid_level = l->sid_level;
	b->start_ns = read_u64(task, TASK_START_BOOTTIME);
	b->tgid = read_u32(task, TASK_TGID);
	b->ppid = read_u32(read_u64(task, TASK_REAL_PARENT), TASK_TGID);
	bpf_probe_read_kernel(b->comm, COMM_LEN, (void *)(task + TASK_COMM));
	n->ns = ns_inum(ns);
	n->ns_parent = l->level ? ns_inum(read_u64(ns, NS_PARENT)) : 0;
	n->pgid_ns = ns_inum(pid_ns(l->pgid, l->pgid_level));
	n->sid_ns = ns_inum(pid_ns(l->sid, l->sid_level));
}

static __always_inline void emit_birth(u64 task, const struct lineage *l)
{
	struct birth r = {};

	begin(&r.birth.head, RECORD_BIRTH, task_nr(task));
	fill_birth(&r.birth, &r.ns, l, task);
	READ_NUMBERS(r.pid, BIRTH_LEVELS, l->pid, l->level);
	READ_NUMBERS(r.pgid, BIRTH_LEVELS, l->pgid, l->pgid_level);
	READ_NUMBERS(r.sid, BIRTH_LEVELS, l->sid, l->sid_level);
	emit(&r, sizeof(r));
}

static __always_inline void emit_birth_deep(u64 task, const struct lineage *l)
{
	struct birth_deep *r = events.ringbuf_reserve(sizeof(struct birth_deep));

	if (!r) {
		count_lost();
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	begin(&r->birth.head, RECORD_BIRTH_DEEP, task_nr(task));
	fill_birth(&r->birth, &r->ns, l, task);
	READ_NUMBERS(r->pid, NR_LEVELS, l->pid, l->level);
	READ_NUMBERS(r->pgid, NR_LEVELS, l->pgid, l->pgid_level);
	READ_NUMBERS(r->sid, NR_LEVELS, l->sid, l->sid_level);
	events.ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

ENTRY(attach_pid)
{
	struct lineage l;
	u64 task = ARG(ARG_ATTACH_TASK);

	hit(HOOK_ATTACH_PID);
	if ((u32)ARG(ARG_ATTACH_TYPE) != PIDTYPE_PID)
		return 0;
	read_lineage(&l, task);
	if (l.level < BIRTH_LEVELS && l.pgid_level < BIRTH_LEVELS && l.sid_level < BIRTH_LEVELS)
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
	r.ns = ns_inum(pid_ns(pid, level));
	r.pid_type = pid_type;
	READ_NUMBERS(r.nr, PID_LEVELS, pid, level);
	emit(&r, sizeof(r));
}

static __always_inline void emit_pid_deep(u8 type, u32 tid, u32 pid_type, u64 pid, u32 level)
{
	struct one_pid_deep r = {};

	begin(&r.head, type, tid);
	r.head.level = level;
	r.ns = ns_inum(pid_ns(pid, level));
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

EXIT(alloc_pid)
{
	u64 pid = RETURNED(NR_ARGS_ALLOC_PID);

	if (pid >= -ERR_LAST)
		return 0;	/* copy_process will tell */
	hit(HOOK_ALLOC_PID);
	emit_one(RECORD_ALLOCATED, pid_nr(pid), PIDTYPE_PID, pid);
	return 0;
}

ENTRY(free_pid)
{
	u64 pid = ARG(0);

	hit(HOOK_FREE_PID);
	emit_one(RECORD_FREED, pid_nr(pid), PIDTYPE_PID, pid);
	return 0;
}

/* A task's PID changes hands, or ends */

ENTRY(detach_pid)
{
	struct released r = {};
	u64 task = ARG(ARG_DETACH_TASK);

	hit(HOOK_DETACH_PID);
	if ((u32)ARG(ARG_DETACH_TYPE) != PIDTYPE_PID)
		return 0;
	begin(&r.head, RECORD_RELEASED, task_nr(task));
	r.tgid = read_u32(task, TASK_TGID);
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

/* copy_process */

static __always_inline void emit_created(u64 task, u64 args)
{
	struct created r = {};
	u64 current = bpf_get_current_task();
	int failed = task >= -ERR_LAST;

	begin(&r.head, failed ? RECORD_FORK_FAILED : RECORD_CREATED, failed ? 0 : task_nr(task));
	r.flags = args ? read_u64(args, CLONE_ARGS_FLAGS) : 0;
	r.cgroup_id = task_cgroup_id(failed ? current : task);
	r.children_ns = task_children_ns(failed ? current : task);
	r.error = failed ? -task : 0;
	emit(&r, sizeof(r));
}

#ifdef PROBES_FENTRY
EXIT(copy_process)
{
	hit(HOOK_COPY_PROCESS);
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

	hit(HOOK_COPY_PROCESS);
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
	r.ns = ns_inum(ns);
	r.ns_parent = ns_inum(read_u64(ns, NS_PARENT));
	emit(&r, sizeof(r));
}

EXIT(copy_pid_ns)
{
	u64 ns = RETURNED(NR_ARGS_COPY_PID_NS);
	u64 nsproxy = read_u64(bpf_get_current_task(), TASK_NSPROXY);

	/* Without CLONE_NEWPID it returns the one that current's children go to anyway. */
	if (ns >= -ERR_LAST || ns == read_u64(nsproxy, NSPROXY_CHILDREN))
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

/* Tracepoints */

TRACEPOINT(sched_process_exec)
{
	struct named r = {};
	u64 task = ctx->args[0];

	hit(HOOK_SCHED_PROCESS_EXEC);
	begin(&r.head, RECORD_EXECUTED, task_nr(task));
	r.old_tid = ctx->args[1];
	bpf_probe_read_kernel(r.comm, COMM_LEN, (void *)(task + TASK_COMM));
	emit(&r, sizeof(r));
	return 0;
}

TRACEPOINT(task_rename)
{
	struct named r = {};

	hit(HOOK_TASK_RENAME);
	begin(&r.head, RECORD_RENAMED, task_nr(ctx->args[0]));
	bpf_probe_read_kernel_str(r.comm, COMM_LEN, (void *)ctx->args[1]);
	emit(&r, sizeof(r));
	return 0;
}

TRACEPOINT(sched_process_exit)
{
	struct released r = {};
	u64 task = ctx->args[0];

	hit(HOOK_SCHED_PROCESS_EXIT);
	begin(&r.head, RECORD_EXITED, task_nr(task));
	r.tgid = read_u32(task, TASK_TGID);
	r.exit_code = read_u32(task, TASK_EXIT_CODE);
	emit(&r, sizeof(r));
	return 0;
}

TRACEPOINT(cgroup_attach_task)
{
	struct moved r = {};

	hit(HOOK_CGROUP_ATTACH_TASK);
	begin(&r.head, RECORD_MOVED, task_nr(ctx->args[2]));
	r.cgroup_id = cgroup_id(ctx->args[0]);
	emit(&r, sizeof(r));
	return 0;
}
