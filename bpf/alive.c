// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Every task that lives, threads too, by number (kernel/bpf/task_iter.c), as the life it would leave
 * if it ended now. A recording's lives and a walk of these tell all that lived at a time, if no task
 * is missing from both. So a task counts as living until exit_notify() has set its exit_state: by
 * then its life is recorded. A leader that has exited lives as its process while threads are left.
 */
#include <uapi/linux/ptrace.h>
#include "record.h"
#include "kernel.h"
#include "life.h"

BPF_PERCPU_ARRAY(row, struct life_deep, 1);

static __always_inline u32 has_others(u64 task)
{
	return read_u32(read_u64(task, TASK_SIGNAL), SIGNAL_NR_THREADS) > 1;
}

int bpf_iter__task(u64 *ctx)
{
	void **meta = (void **)ctx[0];	/* struct bpf_iter_meta begins with the seq_file */
	struct life_facts f = {};
	struct life_deep *deep;
	u64 task = ctx[1];
	u32 zero = 0;

	if (!task || !read_u64(task, TASK_THREAD_PID))
		return 0;	/* the end; or it is being released */
	f.task = f.now_in = task;
	f.leader = read_u64(task, TASK_GROUP_LEADER);
	f.kind = task == f.leader ? LIFE_PROCESS : LIFE_THREAD;
	if (read_u32(task, TASK_EXIT_STATE)) {
		if (task != f.leader || !has_others(task))
			return 0;
		f.kind = LIFE_LEADER;
	}
	read_facts(&f);
	if (f.level < BIRTH_LEVELS) {
		struct life l = {};

		fill_shallow_life(&l, &f);
		bpf_seq_write(*meta, &l, sizeof(l));
		return 0;
	}
	deep = row.lookup(&zero);
	if (deep) {
		fill_life_deep(deep, &f);
		deep->head.header = 0;
		bpf_seq_write(*meta, deep, sizeof(*deep));
	}
	return 0;
}
