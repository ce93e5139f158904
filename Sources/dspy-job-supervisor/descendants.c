#define _GNU_SOURCE
#include "descendants.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

static pid_t parent_of(const char *pid) {
    char path[64], stat[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t length = read(fd, stat, sizeof stat - 1);
    close(fd);
    if (length <= 0) return -1;
    stat[length] = '\0';
    const char *name_end = strrchr(stat, ')');
    int parent = -1;
    if (name_end == NULL || sscanf(name_end, ") %*c %d", &parent) != 1) return -1;
    return parent;
}

// Children only: a child's pid can't be used again before this process has reaped it, so no stranger is ever hit. The
// orphans that this makes are children at the next pass.
static void kill_children(void) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) return;
    const pid_t self = getpid();
    struct dirent *entry;
    while ((entry = readdir(processes)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (parent_of(entry->d_name) == self) kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    closedir(processes);
}

bool descendants_end(pid_t command, int *status, int64_t patience_ms) {
    const int64_t give_up = monotonic_ms() + patience_ms;
    for (;;) {
        int ended;
        pid_t pid;
        while ((pid = waitpid(-1, &ended, WNOHANG)) > 0) {
            if (pid == command) *status = ended;
        }
        // The usual case, reached without a look at /proc.
        if (pid < 0 && errno == ECHILD) return true;
        if (monotonic_ms() > give_up) return false;
        kill_children();
        // SIGCHLD is blocked throughout, so its arrival ends the wait.
        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        struct timespec pause = {.tv_nsec = 5000000};
        sigtimedwait(&child, NULL, &pause);
    }
}
