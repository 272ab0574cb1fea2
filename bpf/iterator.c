// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Every task of the machine as it is, threads too, by number (kernel/bpf/task_iter.c). Each is
 * read without a lock, as /proc reads it, but with the whole of each struct pid. Head.by is the
 * task itself, or 0 as long as it has not been woken for the first time: task_newtask may not have
 * told of it yet. As long as nothing of a task changes, its record is the same byte by byte.
 */
BPF_PERCPU_ARRAY(row, struct birth_deep, 1);

int bpf_iter__task(u64 *ctx)
{
	void **meta = (void **)ctx[0];	/* struct bpf_iter_meta begins with the seq_file */
	u64 task = ctx[1];
	struct lineage l;
	u32 zero = 0, by;
	struct birth_deep *deep;

	if (!task)
		return 0;	/* the end */
	by = read_u32(task, TASK_STATE) & TASK_NEW ? 0 : task_nr(task);
	read_lineage(&l, task);
	if (!l.pid || !l.pgid || !l.sid)
		return 0;	/* it is being released */
	if (is_shallow(&l)) {
		struct birth r = {};

		fill_shallow(&r, RECORD_SEEN, &l, task);
		r.birth.head.by = by;
		r.birth.head.ts_ns = 0;
		bpf_seq_write(*meta, &r, sizeof(r));
		return 0;
	}
	deep = row.lookup(&zero);
	if (deep) {
		fill_deep(deep, RECORD_SEEN_DEEP, &l, task);
		deep->birth.head.by = by;
		deep->birth.head.ts_ns = 0;
		bpf_seq_write(*meta, deep, sizeof(*deep));
	}
	return 0;
}
