/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The record: what one hook tells of one act of the kernel. This header is the single
 * source of truth; pidscope/wire/layout.py repeats it and a test compares the two, field by field.
 *
 * The ring is an array of 64-byte slots. The kernel puts 8 bytes before each record, so a
 * record of 56 + 64 * k bytes fills 1 + k slots, and no record ever starts inside a slot.
 * Every record begins with the same head. Deep ones, below level 3 (or 5), have a
 * type and a size of their own with room for all 33 levels, so each type has one layout.
 *
 * Numbers are those of the initial PID namespace unless they stand in an array: arrays run
 * from level 0 inwards and are zero behind the level that goes with them. Namespaces are
 * inums; ns 0 is "none". Times are CLOCK_BOOTTIME, in nanoseconds.
 */
#ifndef PIDSCOPE_RECORD_H
#define PIDSCOPE_RECORD_H

#define NR_LEVELS	33	/* MAX_PID_NS_LEVEL + 1 */
#define BIRTH_LEVELS	4	/* levels 0..3 fit a birth of two slots */
#define PID_LEVELS	6	/* levels 0..5 fit a struct pid of one slot */
#define COMM_LEN	16	/* TASK_COMM_LEN */

enum record_type {
	RECORD_BIRTH = 1,		/* attach_pid(PIDTYPE_PID), or task_newtask */
	RECORD_BIRTH_DEEP,
	RECORD_CHANGED,			/* change_pid */
	RECORD_CHANGED_DEEP,
	RECORD_RELEASED,		/* detach_pid(PIDTYPE_PID) */
	RECORD_EXCHANGED,		/* exchange_tids */
	RECORD_TRANSFERRED,		/* transfer_pid */
	RECORD_ALLOCATED,		/* alloc_pid */
	RECORD_ALLOCATED_DEEP,
	RECORD_FREED,			/* free_pid */
	RECORD_FREED_DEEP,
	RECORD_CREATED,			/* copy_process */
	RECORD_FORK_FAILED,
	RECORD_NS_CREATED,		/* copy_pid_ns */
	RECORD_NS_DYING,		/* zap_pid_ns_processes */
	RECORD_EXECUTED,		/* sched_process_exec */
	RECORD_RENAMED,			/* task_rename */
	RECORD_EXITED,			/* sched_process_exit */
	RECORD_MOVED,			/* cgroup_attach_task */
	RECORD_SEEN,			/* the task iterator's: head.by is 0 if it never ran */
	RECORD_SEEN_DEEP,
	RECORD_TASK_FREED,		/* sched_process_free */
	RECORD_REFUSED,			/* alloc_pid, with an error */
	RECORD_EXECUTED_AS,		/* sched_process_exec, and the task as it is then */
	RECORD_EXECUTED_AS_DEEP,
};

struct record_head {
	u8  type;		/* enum record_type */
	u8  level;		/* of the struct pid, or of the namespace, it tells of */
	u8  pgid_level;		/* births only */
	u8  sid_level;		/* births only */
	u32 lost;		/* records that could not be written before this one, modulo 2^32 */
	u64 ts_ns;		/* of a birth its start; 0 in the task iterator's */
	u32 by;			/* the task that acted */
	u32 tid;		/* the task it happened to; 0: none */
};

struct birth_head {
	struct record_head head;
	u64  start_ns;		/* task_struct.start_boottime */
	u32  tgid;		/* of executed_as its number before: it leads its process by now */
	u32  ppid;		/* thread group of real_parent */
	char comm[COMM_LEN];
};

struct birth_ns {
	u32 ns;
	u32 ns_parent;
	u32 pgid_ns;
	u32 sid_ns;
};

struct birth {
	struct birth_head birth;
	struct birth_ns ns;
	u32 pid[BIRTH_LEVELS];
	u32 pgid[BIRTH_LEVELS];
	u32 sid[BIRTH_LEVELS];
};

struct birth_deep {
	struct birth_head birth;
	struct birth_ns ns;
	u32 pid[NR_LEVELS];
	u32 pgid[NR_LEVELS];
	u32 sid[NR_LEVELS];
	u32 pad[9];
};

/* One struct pid: changed (to this one), allocated, freed. */
struct one_pid {
	struct record_head head;
	u32 ns;
	u32 pid_type;		/* enum pid_type; of changed only */
	u32 nr[PID_LEVELS];
};

struct one_pid_deep {
	struct record_head head;
	u32 ns;
	u32 pid_type;
	u32 nr[NR_LEVELS];
	u32 pad[5];
};

struct released {
	struct record_head head;
	u32 tgid;
	u32 exit_code;		/* as wait() gives it */
	u32 pad[6];
};

struct task_freed {
	struct record_head head;
	u32 tgid;
	u32 pad;
	u64 start_ns;		/* tells whose end it is: the number may be another's by now */
	u64 pad2[2];
};

struct exchanged {
	struct record_head head;
	u32 leader;		/* the old leader, whose struct pid head.tid takes over */
	u32 pad;
	u64 start_ns;		/* of head.tid: de_thread() has made it the leader's already */
	u64 leader_start_ns;
	u64 pad2;
};

struct transferred {
	struct record_head head;
	u32 old;
	u32 pid_type;
	u32 pad[6];
};

struct refused {
	struct record_head head;
	u32 error;		/* a positive errno */
	u32 pad[7];
};

struct created {
	struct record_head head;
	u64 flags;		/* kernel_clone_args.flags */
	u64 cgroup_id;
	u32 children_ns;	/* of nsproxy->pid_ns_for_children */
	u32 error;		/* a positive errno; of fork_failed only */
	u64 pad;
};

struct ns_event {
	struct record_head head;
	u32 ns;
	u32 ns_parent;
	u32 pad[6];
};

struct named {
	struct record_head head;
	u32  old_tid;		/* of executed only */
	char comm[COMM_LEN];
	u32  pad[3];
};

struct moved {
	struct record_head head;
	u64 cgroup_id;
	u64 pad[3];
};

/*
 * Lives: a task's whole life as one record, made at its own exit. They lie in arrays of their own
 * (bpf/lives.c), not in the ring above, or in rings of their own where a kernel has no atomic
 * operation that returns. There each has the ring's header of 8 bytes before it, for which the
 * arrays have room, so that both are alike.
 *
 * LIFE_LAYOUT numbers this layout; whatever keeps lives keeps it, too. It changes with any field.
 */
#define LIFE_LAYOUT		1
#define LIFE_WRITING		(~0ULL)	/* the sequence of a slot that is being written; else
					   the place of what is in it in the stream, plus 1 */

enum life_kind {
	LIFE_PROCESS = 1,		/* a process's end, its numbers the leader's */
	LIFE_THREAD,			/* the exit of a task that is not its process's leader */
	LIFE_LEADER,			/* a leader's, which is not also told as its process's end */
	LIFE_EXECED,			/* a thread's number ended, since it called exec */
};

enum life_flags {
	LIFE_JOINED = 1,		/* its parent lives in another namespace, further out */
	LIFE_JOINED_UNKNOWN = 2,	/* the parent was being released */
	LIFE_BY_THREAD = 4,		/* told by its last thread, whose own exit is another record */
	LIFE_STATUS_UNKNOWN = 8,	/* the leader was exiting at the same time */
	LIFE_NUMBERS_UNKNOWN = 16,	/* but for the first */
};

struct life_head {
	u64  header;		/* the ring's */
	u64  start_ns;		/* task_struct.start_boottime; 0: not known */
	u64  end_ns;		/* the exit, not the release */
	u64  leader_start_ns;
	u64  parent_start_ns;	/* of the parent's leader */
	u64  cgroup_id;
	char comm[COMM_LEN];
	u32  tgid;
	u32  ppid;		/* thread group of real_parent at the exit */
	u32  pgid;		/* this and the others in the initial namespace, as everywhere here */
	u32  sid;
	u32  uid;		/* the real one, in the initial user namespace */
	u32  status;		/* as wait() gives it; of a thread, its own */
	u8   kind;		/* enum life_kind */
	u8   level;
	u16  flags;		/* enum life_flags */
	u32  pad;
};

struct life {
	struct life_head head;
	u32 nr[BIRTH_LEVELS];
	u32 ns[BIRTH_LEVELS];
};

struct life_deep {
	struct life_head head;
	u32 nr[NR_LEVELS];
	u32 ns[NR_LEVELS];
	u32 pad2[6];
};

/* What a life does not hold: the parent that the task was born to. */
struct born_head {
	u64 header;		/* the ring's */
	u64 start_ns;
	u64 parent_start_ns;	/* of the parent's leader */
	u32 tgid;
	u32 ppid;		/* thread group of real_parent */
	u32 by;			/* the task that forked */
	u32 ns;			/* the innermost */
	u32 level;
	u32 pad;
};

struct born {
	struct born_head born;
	u32 nr[BIRTH_LEVELS];
};

struct born_deep {
	struct born_head born;
	u32 nr[NR_LEVELS];
	u32 pad2[3];
};

#endif
