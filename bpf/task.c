// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* A task and all its numbers, as one record: a birth, or a task that is looked at. */

/* The struct pids of a task. */
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

static __always_inline int is_shallow(const struct lineage *l)
{
	return l->level < BIRTH_LEVELS && l->pgid_level < BIRTH_LEVELS &&
	       l->sid_level < BIRTH_LEVELS;
}

static __always_inline void fill_shallow(struct birth *r, u8 type, const struct lineage *l,
					 u64 task)
{
	begin(&r->birth.head, type, task_nr(task));
	fill_birth(&r->birth, &r->ns, l, task);
	READ_NUMBERS(r->pid, BIRTH_LEVELS, l->pid, l->level);
	READ_NUMBERS(r->pgid, BIRTH_LEVELS, l->pgid, l->pgid_level);
	READ_NUMBERS(r->sid, BIRTH_LEVELS, l->sid, l->sid_level);
}

/* Too large for the stack. */
static __always_inline void fill_deep(struct birth_deep *r, u8 type, const struct lineage *l,
				      u64 task)
{
	__builtin_memset(r, 0, sizeof(*r));
	begin(&r->birth.head, type, task_nr(task));
	fill_birth(&r->birth, &r->ns, l, task);
	READ_NUMBERS(r->pid, NR_LEVELS, l->pid, l->level);
	READ_NUMBERS(r->pgid, NR_LEVELS, l->pgid, l->pgid_level);
	READ_NUMBERS(r->sid, NR_LEVELS, l->sid, l->sid_level);
}
