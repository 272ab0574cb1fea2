/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * crowd N C: N sleeping processes in C PID namespaces, each inside this one; prints "ready", and
 * ends them when standard input ends.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The init of a namespace: all in it die with it, and it dies with its parent. */
static void contain(long members, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (--members > 0) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			close(ready);
			for (;;)
				pause();
		}
	}
	if (write(ready, "", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

static void spawn(long members, int ready)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid)
		contain(members, ready);
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[1]) : 0, containers = argc > 2 ? atol(argv[2]) : 0;
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), ready[2];
	char byte;

	if (containers < 1 || own < 0 || pipe(ready))
		err(1, "crowd N C");
	for (long c = 0; c < containers; c++) {
		if (unshare(CLONE_NEWPID))
			err(1, "unshare");
		spawn(n / containers + (c < n % containers), ready[1]);
		if (setns(own, CLONE_NEWPID))	/* else the next would be inside this one */
			err(1, "setns");
	}
	close(ready[1]);
	for (long c = 0; c < containers; c++)
		if (read(ready[0], &byte, 1) != 1)
			errx(1, "a fork failed");
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
