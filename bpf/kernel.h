/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The kernel's structures, read without its headers: offsets (TASK_*, PID_*, ...) come as -D
 * constants from the running kernel's BTF. Kernel addresses are plain u64 here.
 */
#ifndef PIDSCOPE_KERNEL_H
#define PIDSCOPE_KERNEL_H

#define ERR_LAST 4095UL	/* MAX_ERRNO */

/* By a helper: from any address, whatever the verifier knows of it. */
static __always_inline u64 peek_u64(u64 base, u64 offset)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline u32 peek_u32(u64 base, u64 offset)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

/*
 * Where a program gets pointers whose types the verifier knows (TYPED), it may follow them by plain
 * loads, at constant offsets. A helper call takes ten times as long, whatever it copies, so
 * elsewhere what lies side by side is read at once.
 */
#ifdef TYPED
#define read_u64(base, offset) (*(volatile u64 *)((base) + (offset)))
#define read_u32(base, offset) (*(volatile u32 *)((base) + (offset)))
#else
#define read_u64 peek_u64
#define read_u32 peek_u32
#endif

/* struct pid */

static __always_inline u64 pid_upid(u64 pid, u32 level)
{
	return pid + PID_NUMBERS + level * UPID_SIZE;
}

static __always_inline u64 pid_ns(u64 pid, u32 level)
{
	return peek_u64(pid_upid(pid, level), UPID_NS);
}

static __always_inline u32 peek_inum(u64 ns)
{
	return ns ? peek_u32(ns, NS_INUM) : 0;
}

static __always_inline u32 pid_nr(u64 pid)
{
	return read_u32(pid, PID_NUMBERS + UPID_NR);
}

/*
 * A loop: unrolled, these reads are a fifth of all that clang has to do. What it does not know of i
 * it cannot put in terms of level, whose bounds it knows and the verifier does not.
 */
#define READ_NUMBERS(to, nr_levels, pid, level)                                 \
	_Pragma("clang loop unroll(disable)")                                   \
	for (u32 i = 0; i < (nr_levels) && i <= (level); i++) {                 \
		asm volatile("" : "+r"(i));                                     \
		bpf_probe_read_kernel(&(to)[i], sizeof(u32),                    \
				      (void *)(pid_upid(pid, i) + UPID_NR));    \
	}

/* All levels of a struct pid of few, at once; returns its level. */
static __always_inline u32 copy_upids(char *upids, u64 pid, u32 level)
{
	/* It is that small, which clang knows and would not say again to the verifier. */
	asm volatile("" : "+r"(level));
	level &= BIRTH_LEVELS - 1;
	bpf_probe_read_kernel(upids, (level + 1) * UPID_SIZE, (void *)pid_upid(pid, 0));
	return level;
}

/* The numbers of a struct pid of few levels; returns its namespace. */
static __always_inline u64 read_upids(u32 *nr, u64 pid, u32 level)
{
	u64 ns = 0;
#ifdef TYPED
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++) {
		if (i <= level) {
			nr[i] = read_u32(pid, PID_NUMBERS + i * UPID_SIZE + UPID_NR);
			ns = read_u64(pid, PID_NUMBERS + i * UPID_SIZE + UPID_NS);
		}
	}
#else
	char upids[BIRTH_LEVELS * UPID_SIZE] = {};

	level = copy_upids(upids, pid, level);
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++) {
		nr[i] = *(u32 *)(upids + i * UPID_SIZE + UPID_NR);
		if (i == level)
			ns = *(u64 *)(upids + i * UPID_SIZE + UPID_NS);
	}
#endif
	return ns;
}

/* The number of a struct pid at one of the first levels. */
static __always_inline u32 number_at(u64 pid, u32 level)
{
	u32 nr = 0;
#ifdef TYPED
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++)
		if (i == level)
			nr = read_u32(pid, PID_NUMBERS + i * UPID_SIZE + UPID_NR);
	if (level >= BIRTH_LEVELS)
#endif
		nr = peek_u32(pid_upid(pid, level), UPID_NR);
	return nr;
}

/* task_struct */

static __always_inline u32 task_nr(u64 task)
{
	return read_u32(task, TASK_PID);
}

struct task_ids {
	u32 nr, tgid;
};

static __always_inline struct task_ids task_ids(u64 task)
{
	struct task_ids ids = {};

#if !defined(TYPED) && TASK_TGID == TASK_PID + 4
	bpf_probe_read_kernel(&ids, sizeof(ids), (void *)(task + TASK_PID));
#else
	ids.nr = task_nr(task);
	ids.tgid = read_u32(task, TASK_TGID);
#endif
	return ids;
}

static __always_inline void read_comm(char *to, u64 task)
{
#ifdef TYPED
	u64 halves[] = {read_u64(task, TASK_COMM), read_u64(task, TASK_COMM + sizeof(u64))};

	__builtin_memcpy(to, halves, COMM_LEN);
#else
	bpf_probe_read_kernel(to, COMM_LEN, (void *)(task + TASK_COMM));
#endif
}

/* The struct pids of the task's process group and session. */
static __always_inline void read_pgid_sid(u64 *pgid, u64 *sid, u64 task)
{
	u64 signal = read_u64(task, TASK_SIGNAL);
#ifdef TYPED
	*pgid = read_u64(signal, SIGNAL_PIDS + PIDTYPE_PGID * sizeof(u64));
	*sid = read_u64(signal, SIGNAL_PIDS + PIDTYPE_SID * sizeof(u64));
#else
	u64 pids[PIDTYPE_SID + 1] = {};

	bpf_probe_read_kernel(pids, sizeof(pids), (void *)(signal + SIGNAL_PIDS));
	*pgid = pids[PIDTYPE_PGID];
	*sid = pids[PIDTYPE_SID];
#endif
}

static __always_inline u32 task_children_ns(u64 task)
{
	u64 nsproxy = peek_u64(task, TASK_NSPROXY);

	return nsproxy ? peek_inum(peek_u64(nsproxy, NSPROXY_CHILDREN)) : 0;
}

static __always_inline u64 cgroup_id(u64 cgroup)
{
	return peek_u64(peek_u64(cgroup, CGROUP_KN), KN_ID);
}

static __always_inline u64 task_cgroup_id(u64 task)
{
	return cgroup_id(peek_u64(peek_u64(task, TASK_CGROUPS), CSS_SET_CGROUP));
}

#endif
