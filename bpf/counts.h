/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What bpf/counts.c counts; pidscope/wire/counts.py repeats it and a test compares the two. Numbers
 * are those of the initial PID namespace.
 */
#ifndef PIDSCOPE_COUNTS_H
#define PIDSCOPE_COUNTS_H

#define COUNT_LEVEL_SHIFT	24	/* PID_MAX_LIMIT is 4 million */

/*
 * A PID namespace, told from the next one with its inum by its number 1. All zeros: the initial one,
 * in which most tasks are born where nothing is contained.
 */
struct count_ns {
	u32 ns;			/* inum */
	u32 init;		/* its number 1, and its level above that; 0: not known */
	u64 start_ns;		/* of its number 1, task_struct.start_boottime */
};

/* A name, with zeros behind its end. */
struct count_comm {
	u64 halves[2];
};

struct counted {
	u64 processes;
	u64 threads;
	u64 failed_forks;	/* without those that are restarted */
};

enum count_init_kind {
	COUNT_INIT_BORN = 1,
	COUNT_INIT_EXECUTED,
	COUNT_INIT_EXITED,
};

/* What a namespace's number 1 did: whose namespace it is can be read while it lives. */
struct count_init {
	u32  kind;
	u32  level;
	u32  nr;
	u32  ns;
	u32  ns_parent;		/* of births */
	u32  pad;
	u64  start_ns;
	u64  ts_ns;
	char comm[COMM_LEN];
};

#endif
