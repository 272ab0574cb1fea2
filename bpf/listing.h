/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What /proc shows of one task, as the listing writes it; pidscope/wire/listing.py repeats it and a
 * test compares the two. Numbers are those of the initial PID namespace unless they stand in a
 * level; levels run from 0 inwards, and are zero behind the task's own.
 */
#ifndef PIDSCOPE_LISTING_H
#define PIDSCOPE_LISTING_H

#define LISTED_LEVELS	4	/* of a deeper task, only the head is of use */

struct listed_level {
	u32 ns;			/* inum */
	u32 pid;
	u32 tgid;
	u32 pgid;		/* 0: the group has no number there */
	u32 sid;
};

struct listed_task {
	u32  tid;
	u32  level;
	u32  state;		/* task_struct.__state, its lower half where it is a long */
	u32  exit_state;
	u32  flags;		/* PF_* */
	u32  ppid;		/* thread group of real_parent */
	u32  tracer;		/* the thread that traces it; 0: none */
	u32  threads;		/* of its process, less those that are released */
	u64  start_ns;		/* task_struct.start_boottime */
	u64  cgroup_id;		/* of the cgroup v2 */
	char comm[COMM_LEN];
};

struct listed {
	struct listed_task task;
	struct listed_level levels[LISTED_LEVELS];
};

#endif
