/*
 * A puppet: does one system call of the differential test at a time, as it is asked.
 *
 *   puppet world CONTROL REPLIES CHANNEL [UID GID]   see world.c
 *   puppet play REPLIES PROC SELF CHANNEL            the first puppet, and one that executes
 *
 * A puppet reads commands from its own channel, a pipe; one that makes a child says which channel and
 * which stack the child uses. Results of all go into one pipe. Nothing here makes a task, opens or
 * allocates anything but by a command, so every number that is given away was asked for.
 *
 * Threads and vfork children share memory and even the C library's thread control block with their
 * maker. That is harmless: a puppet runs only while the others wait inside a system call, and each has
 * its own stack. At the end of the pipe, when the driver is gone, a puppet ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "puppet.h"

#ifndef __x86_64__
#error "the first instructions of a puppet are written for x86_64"
#endif
#define AUTOREAP 0x400000000L /* CLONE_AUTOREAP, since 7.1 */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

enum call { CALLS }; /* names by the driver: one list for both */

struct command {
    int call, channel, slot, tids;
    long a, b;
    int set_tid[LEVELS];
    char path[PATH_BYTES];
};

struct reply {
    int channel, value, status;
};

int replies, proc, self;

static char stacks[SLOTS][16384] __attribute__((aligned(16)));

static void play(long channel) __attribute__((noreturn));

/* A system call that makes a task: its number, or -errno. The child never returns from here. */
static long start(const struct command *command, long number, long a, long b, long c)
{
    register long tls __asm__("r8") = 0;
    register long child_tid __asm__("r10") = 0;
    register char *stack __asm__("r12") = stacks[command->slot + 1];
    register long channel __asm__("r13") = command->channel;
    register void *body __asm__("r14") = play;
    long value;

    /* The child leaves its maker's stack before it writes to any: they may share it. */
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %%r12, %%rsp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%%r14\n"
                     "1:"
                     : "=a"(value)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(tls), "r"(child_tid), "r"(stack),
                       "r"(channel), "r"(body)
                     : "rcx", "r11", "memory", "cc");
    return value;
}

static long do_clone(const struct command *command)
{
    long flags = command->a & CLONE_THREAD ? command->a | THREAD_FLAGS : command->a | SIGCHLD;

    return start(command, SYS_clone, flags, 0, 0);
}

static long do_clone3(const struct command *command)
{
    struct clone_args arguments = {
        .flags = command->a & CLONE_THREAD ? command->a | THREAD_FLAGS : command->a,
        .exit_signal = command->a & (CLONE_THREAD | CLONE_PARENT | AUTOREAP) ? 0 : SIGCHLD,
        .set_tid = command->tids ? (unsigned long)command->set_tid : 0,
        .set_tid_size = command->tids,
    };

    if (command->b) {
        arguments.flags |= CLONE_PIDFD;
        arguments.pidfd = 8; /* the first page is never mapped */
    }
    return start(command, SYS_clone3, (long)&arguments, sizeof(arguments), 0);
}

static long result(long value)
{
    return value == -1 ? -errno : value;
}

static long do_setns(const char *path)
{
    long value;
    int namespace = openat(proc, path, O_RDONLY);

    if (namespace < 0)
        return -errno;
    value = result(syscall(SYS_setns, namespace, CLONE_NEWPID));
    close(namespace);
    return value;
}

static long do_sysctl(const char *path, int write_it, long number)
{
    char text[32];
    ssize_t length;
    int file = openat(proc, path, write_it ? O_WRONLY : O_RDONLY);

    if (file < 0)
        return -errno;
    if (write_it) {
        length = snprintf(text, sizeof(text), "%ld", number);
        number = write(file, text, length) == length ? 0 : -errno;
    } else {
        length = read(file, text, sizeof(text) - 1);
        text[length > 0 ? length : 0] = 0;
        number = length > 0 ? atol(text) : -errno;
    }
    close(file);
    return number;
}

long execute(int channel)
{
    char numbers[4][12], *arguments[] = {"puppet",   "play",     numbers[0], numbers[1],
                                         numbers[2], numbers[3], NULL};
    char *environment[] = {NULL};

    snprintf(numbers[0], sizeof(numbers[0]), "%d", replies);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", proc);
    snprintf(numbers[2], sizeof(numbers[2]), "%d", self);
    snprintf(numbers[3], sizeof(numbers[3]), "%d", channel);
    return result(syscall(SYS_execveat, self, "", arguments, environment, AT_EMPTY_PATH));
}

static long perform(const struct command *command, int channel, int *status)
{
    switch ((enum call)command->call) {
    case FORK: return start(command, SYS_fork, 0, 0, 0);
    case VFORK: return start(command, SYS_vfork, 0, 0, 0);
    case CLONE: return do_clone(command);
    case CLONE3: return do_clone3(command);
    case UNSHARE: return result(syscall(SYS_unshare, command->a));
    case SETNS: return do_setns(command->path);
    case EXECVE: return execute(channel);
    case EXIT: return result(syscall(SYS_exit, command->a));
    case EXIT_GROUP: return result(syscall(SYS_exit_group, command->a));
    case WAIT4: return result(syscall(SYS_wait4, command->a, status, WNOHANG, NULL));
    case KILL: return result(syscall(SYS_kill, command->a, command->b));
    case SETSID: return result(syscall(SYS_setsid));
    case SETPGID: return result(syscall(SYS_setpgid, command->a, command->b));
    case GETPID: return result(syscall(SYS_getpid));
    case GETTID: return result(syscall(SYS_gettid));
    case GETPPID: return result(syscall(SYS_getppid));
    case GETPGID: return result(syscall(SYS_getpgid, command->a));
    case GETSID: return result(syscall(SYS_getsid, command->a));
    case SUBREAPER: return result(syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, command->a, 0, 0, 0));
    case WRITE_SYSCTL: return do_sysctl(command->path, 1, command->a);
    case READ_SYSCTL: return do_sysctl(command->path, 0, 0);
    }
    return -ENOSYS;
}

static void answer(int channel, long value, int status)
{
    struct reply reply = {channel, value, status};

    if (write(replies, &reply, sizeof(reply)) != sizeof(reply))
        _exit(1);
}

static void play(long channel)
{
    struct command command;

    for (;;) {
        int status = 0;
        long value;

        if (read(channel, &command, sizeof(command)) != sizeof(command))
            _exit(0);
        value = perform(&command, channel, &status);
        answer(channel, value, status);
    }
}

int main(int count, char **arguments)
{
    if (count == 6 && strcmp(arguments[1], "play") == 0) {
        replies = atoi(arguments[2]);
        proc = atoi(arguments[3]);
        self = atoi(arguments[4]);
        answer(atoi(arguments[5]), 0, 0);
        play(atoi(arguments[5]));
    }
    if ((count != 5 && count != 7) || strcmp(arguments[1], "world") != 0)
        return 2;
    replies = atoi(arguments[3]);
    world(atoi(arguments[2]), atoi(arguments[4]), arguments + 5);
}
