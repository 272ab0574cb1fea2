/*
 * A fresh world: a PID namespace with its own proc mount, and its first puppet in it.
 *
 * It is made by a process outside that stays until the driver lets go of the other end of CONTROL, and
 * ends the world then. The directory of the proc mount is handed over through CONTROL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "puppet.h"

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "puppet: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void write_file(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);

    check(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(file);
}

/* A user namespace in which the caller is root; it may write the maps of none but its own. */
static void become_root(const char *uid, const char *gid)
{
    char map[64];

    check(unshare(CLONE_NEWUSER) == 0, "unshare NEWUSER");
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %s 1", uid);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %s 1", gid);
    write_file("/proc/self/gid_map", map);
}

static void hand_over(int control, int file)
{
    char byte = 0, space[CMSG_SPACE(sizeof(file))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(file));
    memcpy(CMSG_DATA(header), &file, sizeof(file));
    check(sendmsg(control, &message, 0) == 1, "sendmsg");
}

/* The init of the new namespace: mount what it and the driver see the world through, then play. */
static void begin(int control, int channel)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount proc");
    proc = open("/proc", O_RDONLY | O_DIRECTORY);
    check(proc >= 0, "/proc");
    hand_over(control, proc);
    close(control);
    check(execute(channel) == 0, "exec"); /* so that the memory belongs to this user namespace */
}

/*
 * The init's parent stays outside. A helper between them leaves its group and session to the init:
 * no other process is in it, so no signal of a puppet to its own group leaves the world.
 */
static void make_world(int control, int channel)
{
    pid_t helper, *init = mmap(NULL, sizeof(*init), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char end;

    check(init != MAP_FAILED, "mmap");
    check(unshare(CLONE_NEWNS) == 0, "unshare NEWNS");
    check(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "make mounts private");
    helper = fork();
    check(helper >= 0, "fork");
    if (helper == 0) {
        setsid();
        check(unshare(CLONE_NEWPID) == 0, "unshare NEWPID");
        helper = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        check(helper >= 0, "clone");
        if (helper == 0)
            begin(control, channel);
        *init = helper;
        _exit(0);
    }
    check(waitpid(helper, NULL, 0) == helper, "wait");
    /* No process waits for the init before the driver is done: it can be read as a zombie. */
    check(read(control, &end, 1) == 0, "the driver");
    check(kill(*init, SIGKILL) == 0 && waitpid(*init, NULL, 0) == *init, "the end");
    _exit(0);
}

void world(int control, int channel, char **ids)
{
    char go;

    self = open("/proc/self/exe", O_RDONLY);
    check(self >= 0, "/proc/self/exe");
    check(read(control, &go, 1) == 1, "the driver"); /* it has set our priority */
    if (ids[0])
        become_root(ids[0], ids[1]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    make_world(control, channel);
}
