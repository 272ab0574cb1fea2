/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * loops getppid|fork N: nanoseconds of CPU time, children's included, that one getppid() takes, or
 * one fork, exec, exit and wait. Not of the clock: others may be running.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void live(char *self)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(self, self, NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		exit(1);
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
	double begun;
	long n;

	if (argc < 3)
		return 0;	/* the program that was exec'd */
	n = atol(argv[2]);
	begun = cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN);
	for (long i = 0; i < n; i++) {
		if (strcmp(argv[1], "fork"))
			syscall(SYS_getppid);
		else
			live(argv[0]);
	}
	printf("%.1f\n", (cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN) - begun) / n);
	return 0;
}
