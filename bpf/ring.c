// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The ring, what could not be written to it, and how often each hook ran. First of the files
 * that make a program, which are compiled as one text: bcc rewrites what uses a map, and that
 * only in the text itself, not in what it includes.
 */
#include <uapi/linux/ptrace.h>
#include "record.h"
#include "kernel.h"

BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_F_TABLE("array", u32, u64, lost, 1, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(hits, u64, NR_HOOKS);

/* Counts the records that are due, or the acts that one stands for, written or not. */
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

static __always_inline void begin_at(struct record_head *head, u8 type, u32 tid, u64 ts_ns)
{
	u32 zero = 0;
	u64 *count = lost.lookup(&zero);

	head->type = type;
	head->lost = count ? *count : 0;
	head->ts_ns = ts_ns;
	head->by = bpf_get_current_pid_tgid();
	head->tid = tid;
}

static __always_inline void begin(struct record_head *head, u8 type, u32 tid)
{
	begin_at(head, type, tid, bpf_ktime_get_boot_ns());
}

/*
 * A busy reader comes by the clock: waking it for a record would cost more than the record. One that
 * found nothing waits for the next record; the kernel wakes it if all before have been read, so
 * once for each time that it comes, at the most (bpf_ringbuf_commit()).
 */
static __always_inline void emit(void *record, u64 size)
{
	if (events.ringbuf_output(record, size, 0))
		count_lost();
}
