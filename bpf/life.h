/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A task's life, as it stands: at its exit (lives.c), or while it lasts (alive.c). */
#ifndef PIDSCOPE_LIFE_H
#define PIDSCOPE_LIFE_H

struct life_facts {
	u64 task;	/* whose numbers and times they are */
	u64 now_in;	/* the task that is in its cgroup: a leader that ended first was moved no more */
	u64 pid;
	u64 pgid, sid;
	u64 leader;
	u32 level;
	u32 status;
	u32 kind, flags;
	u32 old_nr;	/* of LIFE_NUMBERS_UNKNOWN: the one that is known */
};

static __always_inline void read_facts(struct life_facts *f)
{
	f->pid = read_u64(f->task, TASK_THREAD_PID);
	f->level = read_u32(f->pid, PID_LEVEL);
	read_pgid_sid(&f->pgid, &f->sid, f->task);
}

/*
 * Whether the process came from outside: its parent lives further out, and it is no init. (A
 * parent's namespace is the child's or one around it, so the level tells.) The parent's struct pid
 * is gone if it was released since its address was read; by then the task has another parent.
 */
static __always_inline u32 joined(const struct life_facts *f, u64 parent)
{
	u64 pid, leader_pid;

	if (!f->level)
		return 0;
	pid = read_u64(parent, TASK_THREAD_PID);
	if (!pid)
		pid = read_u64(read_u64(f->task, TASK_REAL_PARENT), TASK_THREAD_PID);
	if (!pid)
		return LIFE_JOINED_UNKNOWN;
	if (read_u32(pid, PID_LEVEL) >= f->level)
		return 0;
	leader_pid = f->leader == f->task ? f->pid : read_u64(f->leader, TASK_THREAD_PID);
	return number_at(leader_pid, f->level) == 1 ? 0 : LIFE_JOINED;
}

static __always_inline void fill_life(struct life_head *h, const struct life_facts *f)
{
	u64 parent = read_u64(f->task, TASK_REAL_PARENT);
	u64 cgroups = read_u64(f->now_in, TASK_CGROUPS);

	h->start_ns = f->kind == LIFE_EXECED ? 0 : read_u64(f->task, TASK_START_BOOTTIME);
	h->end_ns = bpf_ktime_get_boot_ns();
	h->leader_start_ns = read_u64(f->leader, TASK_START_BOOTTIME);
	h->parent_start_ns = read_u64(read_u64(parent, TASK_GROUP_LEADER), TASK_START_BOOTTIME);
	h->cgroup_id = read_u64(read_u64(read_u64(cgroups, CSS_SET_CGROUP), CGROUP_KN), KN_ID);
	read_comm(h->comm, f->task);
	h->tgid = read_u32(f->task, TASK_TGID);
	h->ppid = read_u32(parent, TASK_TGID);
	h->pgid = pid_nr(f->pgid);
	h->sid = pid_nr(f->sid);
	h->uid = read_u32(read_u64(f->task, TASK_REAL_CRED), CRED_UID);
	h->status = f->status;
	h->kind = f->kind;
	h->level = f->level;
	h->flags = f->flags | joined(f, parent);
	h->pad = 0;
}

/* Numbers and inums of the first levels; 0 behind the last. */
static __always_inline void fill_numbers(u32 *nr, u32 *ns, u64 pid, u32 level)
{
#ifdef TYPED
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++) {
		u32 at = PID_NUMBERS + i * UPID_SIZE;

		nr[i] = i <= level ? read_u32(pid, at + UPID_NR) : 0;
		ns[i] = i <= level ? read_u32(read_u64(pid, at + UPID_NS), NS_INUM) : 0;
	}
#else
	char upids[BIRTH_LEVELS * UPID_SIZE] = {};

	copy_upids(upids, pid, level);
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++) {
		nr[i] = *(u32 *)(upids + i * UPID_SIZE + UPID_NR);
		ns[i] = peek_inum(*(u64 *)(upids + i * UPID_SIZE + UPID_NS));
	}
#endif
}

/* All numbers but the first are another's by now. */
static __always_inline void forget_numbers(u32 *nr, u32 nr_levels, const struct life_facts *f)
{
	if (!(f->flags & LIFE_NUMBERS_UNKNOWN))
		return;
	__builtin_memset(nr, 0, nr_levels * sizeof(u32));
	nr[0] = f->old_nr;
}

static __always_inline void fill_shallow_life(struct life *l, const struct life_facts *f)
{
	fill_life(&l->head, f);
	fill_numbers(l->nr, l->ns, f->pid, f->level);
	forget_numbers(l->nr, BIRTH_LEVELS, f);
}

#define READ_INUMS(to, pid, level)                                              \
	_Pragma("clang loop unroll(disable)")                                   \
	for (u32 i = 0; i < NR_LEVELS && i <= (level); i++) {                   \
		asm volatile("" : "+r"(i));                                     \
		(to)[i] = peek_inum(peek_u64(pid_upid(pid, i), UPID_NS));       \
	}

static __always_inline void fill_life_deep(struct life_deep *l, const struct life_facts *f)
{
	fill_life(&l->head, f);
	__builtin_memset(l->nr, 0, sizeof(*l) - sizeof(l->head));
	READ_NUMBERS(l->nr, NR_LEVELS, f->pid, f->level);
	READ_INUMS(l->ns, f->pid, f->level);
	forget_numbers(l->nr, NR_LEVELS, f);
}

#endif
