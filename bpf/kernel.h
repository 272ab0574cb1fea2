/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The kernel's structures, read without its headers: offsets (TASK_*, PID_*, ...) come as -D
 * constants from the running kernel's BTF. Kernel addresses are plain u64 here.
 */
#ifndef PIDSCOPE_KERNEL_H
#define PIDSCOPE_KERNEL_H

#define ERR_LAST 4095UL	/* MAX_ERRNO */

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

#endif
