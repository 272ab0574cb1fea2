/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * loops getppid|fork|exec N: nanoseconds of CPU time, children's included, that one getppid()
 * takes, or one fork, exit and wait, or the same with an exec. Not of the clock: others may be
 * running.
 * loops steady MILLISECONDS: one with an exec each so many milliseconds, until standard input ends.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *self;

static void live(int exec)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (exec)
			execl(self, self, NULL);
		_exit(exec);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		exit(1);
}

static void one(char kind)
{
	if (kind == 'g')
		syscall(SYS_getppid);
	else
		live(kind == 'e');
}

static double cpu_ns(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e9 +
	       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	double begun;
	long n;

	if (argc < 3)
		return 0;	/* the program that was exec'd */
	self = argv[0];
	n = atol(argv[2]);
	if (!strcmp(argv[1], "steady")) {
		while (!poll(&in, 1, n))
			live(1);
		return 0;
	}
	begun = cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN);
	for (long i = 0; i < n; i++)
		one(argv[1][0]);
	printf("%.1f\n", (cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN) - begun) / n);
	return 0;
}
