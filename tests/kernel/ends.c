// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * ends HOW PROCESSES THREADS: processes that end in one way, one after the other, each with so many
 * threads besides its leader. Prints a line for each: its PID, and the status that wait() gave.
 *
 *   alone    every thread calls exit(2), all at the same instant, each with another code
 *   group    so too, but one of them calls exit_group(2)
 *   killed   the parent kills it while they wait
 *   leader   the leader ends first; the last thread calls exit_group(2) when it has
 *   exec     a thread calls execve(2) of /bin/true, which so takes the leader's place
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *how;
static int nr_threads, waiting, leader;

static int is(const char *name)
{
	return !strcmp(how, name);
}

static void meet(void)
{
	__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) <= nr_threads)
		sched_yield();
}

/* Whether the leader is a zombie: field 3 of its stat. */
static int leader_is_gone(void)
{
	char path[64], line[256] = "";
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", leader, leader);
	stat = fopen(path, "r");
	if (!stat || !fgets(line, sizeof(line), stat))
		abort();
	fclose(stat);
	return strstr(line, ") Z ") != NULL;
}

static void end(long number)
{
	meet();
	if (is("killed"))
		for (;;)
			pause();
	if (is("exec") && number == nr_threads)
		execl("/bin/true", "true", (char *)NULL);
	if (is("exec"))
		for (;;)
			pause();
	if (is("group") && number == 1)
		syscall(SYS_exit_group, 40);
	if (is("leader") && number == nr_threads) {
		while (!leader_is_gone())
			sched_yield();
		syscall(SYS_exit_group, 41);
	}
	if (is("leader") && number)
		for (;;)
			pause();
	syscall(SYS_exit, number + 3);
}

static void *run(void *number)
{
	end((long)number);
	return NULL;
}

int main(int argc, char **argv)
{
	int processes = atoi(argv[2]);

	how = argv[1];
	nr_threads = atoi(argv[3]);
	for (int i = 0; i < processes; i++) {
		int status, ready[2];
		pid_t pid;
		char byte;

		if (pipe(ready))
			return 1;
		pid = fork();
		if (!pid) {
			leader = getpid();
			close(ready[0]);
			for (long n = 1; n <= nr_threads; n++) {
				pthread_t thread;

				if (pthread_create(&thread, NULL, run, (void *)n))
					abort();
			}
			if (write(ready[1], "", 1) != 1)
				abort();
			end(0);
		}
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			return 1;
		close(ready[0]);
		if (is("killed"))
			kill(pid, SIGKILL);
		if (waitpid(pid, &status, 0) != pid)
			return 1;
		printf("%d %d\n", pid, status);
	}
	return 0;
}
