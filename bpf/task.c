// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * A task and all its numbers, as one record: a birth, an exec, or a task that is looked at. A birth
 * happens when the task starts, as copy_process() has just read the same clock (start_boottime).
 */

/* The struct pids of a task. */
struct lineage {
	u64 pid, pgid, sid;
	u32 level, pgid_level, sid_level;
};

static __always_inline void read_lineage(struct lineage *l, u64 task)
{
	l->pid = read_u64(task, TASK_THREAD_PID);
	read_pgid_sid(&l->pgid, &l->sid, task);
	l->level = read_u32(l->pid, PID_LEVEL);
	l->pgid_level = read_u32(l->pgid, PID_LEVEL);
	l->sid_level = read_u32(l->sid, PID_LEVEL);
}

static __always_inline void fill_birth(struct birth_head *b, u8 type, const struct lineage *l,
				       u64 task)
{
	struct task_ids ids = task_ids(task);

	b->start_ns = read_u64(task, TASK_START_BOOTTIME);
	begin_at(&b->head, type, ids.nr, b->start_ns);
	b->head.level = l->level;
	b->head.pgid_level = l->pgid_level;
	b->head.sid_level = l->sid_level;
	b->tgid = ids.tgid;
	b->ppid = read_u32(read_u64(task, TASK_REAL_PARENT), TASK_TGID);
	read_comm(b->comm, task);
}

static __always_inline int is_shallow(const struct lineage *l)
{
	return l->level < BIRTH_LEVELS && l->pgid_level < BIRTH_LEVELS &&
	       l->sid_level < BIRTH_LEVELS;
}

static __always_inline void fill_shallow(struct birth *r, u8 type, const struct lineage *l,
					 u64 task)
{
	u64 ns = read_upids(r->pid, l->pid, l->level);
	u64 pgid_ns = read_upids(r->pgid, l->pgid, l->pgid_level);
	u64 sid_ns = read_upids(r->sid, l->sid, l->sid_level);

	fill_birth(&r->birth, type, l, task);
	r->ns.ns = read_u32(ns, NS_INUM);
	r->ns.ns_parent = l->level ? read_u32(read_u64(ns, NS_PARENT), NS_INUM) : 0;
	r->ns.pgid_ns = pgid_ns == ns ? r->ns.ns : read_u32(pgid_ns, NS_INUM);
	r->ns.sid_ns = sid_ns == ns ? r->ns.ns : read_u32(sid_ns, NS_INUM);
}

/* Too large for the stack. */
static __always_inline void fill_deep(struct birth_deep *r, u8 type, const struct lineage *l,
				      u64 task)
{
	u64 ns = pid_ns(l->pid, l->level);

	__builtin_memset(r, 0, sizeof(*r));
	fill_birth(&r->birth, type, l, task);
	r->ns.ns = peek_inum(ns);
	r->ns.ns_parent = l->level ? peek_inum(peek_u64(ns, NS_PARENT)) : 0;
	r->ns.pgid_ns = peek_inum(pid_ns(l->pgid, l->pgid_level));
	r->ns.sid_ns = peek_inum(pid_ns(l->sid, l->sid_level));
	READ_NUMBERS(r->pid, NR_LEVELS, l->pid, l->level);
	READ_NUMBERS(r->pgid, NR_LEVELS, l->pgid, l->pgid_level);
	READ_NUMBERS(r->sid, NR_LEVELS, l->sid, l->sid_level);
}
