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
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

struct process {
    pid_t pid;
    pid_t parent;
    int64_t resident_pages;
    bool is_ours;
};

struct processes {
    struct process *all;
    size_t count;
    size_t room;
};

// proc_pid_stat(5): the name, field 2, may hold anything but ends at the last ')'; 4 is the parent, 24 the pages.
static bool look_at(const char *pid, struct process *process) {
    char path[64], stat[1024];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, stat, sizeof stat - 1);
    close(fd);
    if (length <= 0) return false;
    stat[length] = '\0';
    const char *at = strrchr(stat, ')');
    int parent = -1;
    char state = 0;
    if (at == NULL || sscanf(at, ") %c %d", &state, &parent) != 2) return false;
    for (int field = 2; at != NULL && field < 24; field++) at = strchr(at + 1, ' ');
    long long pages = 0;
    if (at == NULL || sscanf(at, " %lld", &pages) != 1) pages = 0;
    *process = (struct process){
        .pid = (pid_t)strtol(pid, NULL, 10), .parent = parent, .resident_pages = state == 'Z' ? 0 : pages};
    return true;
}

static bool add(struct processes *processes, struct process process) {
    if (processes->count == processes->room) {
        const size_t room = processes->room == 0 ? 256 : 2 * processes->room;
        struct process *all = realloc(processes->all, room * sizeof *all);
        if (all == NULL) return false;
        processes->all = all;
        processes->room = room;
    }
    processes->all[processes->count++] = process;
    return true;
}

// By pid; the kernel's own limit of them is PID_MAX_LIMIT, 2^22.
enum { MOST_PIDS = 1 << 22 };
static uint8_t ours[MOST_PIDS / 8];

static bool is_marked(pid_t pid) { return pid > 0 && pid < MOST_PIDS && (ours[pid / 8] >> (pid % 8) & 1) != 0; }

// Whether the process is a descendant, as far as is known yet; remembers it when it is.
static bool mark(struct process *process) {
    if (process->parent != getpid() && !is_marked(process->parent)) return false;
    if (process->pid > 0 && process->pid < MOST_PIDS) ours[process->pid / 8] |= (uint8_t)(1 << (process->pid % 8));
    process->is_ours = true;
    return true;
}

// A child's number can't be used again before this process has reaped it. One further down may be gone and its number a
// stranger's, so what is signalled is a descriptor that was looked at after it was opened.
static void end(const struct process *process) {
    if (process->parent == getpid()) {
        kill(process->pid, SIGKILL);
        return;
    }
    const int descriptor = pidfd_open(process->pid, 0);
    if (descriptor < 0) return;
    char name[24];
    snprintf(name, sizeof name, "%d", process->pid);
    struct process now;
    if (look_at(name, &now) && now.parent == process->parent) pidfd_send_signal(descriptor, SIGKILL, NULL, 0);
    close(descriptor);
}

// Looks at every process in the order of their pids, which is nearly always parents before children. With `kills`,
// descendants are killed as they are found: a fork bomb's newest have higher pids than the one looked at, so the walk
// catches up with them, while a list of them would be out of date before its end. `into` may be NULL.
static void walk(bool kills, struct processes *into) {
    memset(ours, 0, sizeof ours);
    DIR *directory = opendir("/proc");
    if (directory == NULL) return;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        struct process process;
        if (!isdigit((unsigned char)entry->d_name[0]) || !look_at(entry->d_name, &process)) continue;
        if (mark(&process) && kills) end(&process);
        if (into != NULL && !add(into, process)) break;
    }
    closedir(directory);
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
        walk(true, NULL);
        // SIGCHLD is blocked throughout, so its arrival ends the wait.
        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        struct timespec pause = {.tv_nsec = 5000000};
        sigtimedwait(&child, NULL, &pause);
    }
}

struct usage descendants_usage(void) {
    struct usage usage = {0};
    struct processes processes = {0};
    walk(false, &processes);
    // Once pids have started anew, a parent may come after its children.
    for (bool is_new = true; is_new;) {
        is_new = false;
        for (size_t at = 0; at < processes.count; at++) {
            if (!processes.all[at].is_ours && mark(&processes.all[at])) is_new = true;
        }
    }
    const int64_t page = sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < processes.count; at++) {
        if (!processes.all[at].is_ours) continue;
        usage.processes++;
        usage.resident_bytes += processes.all[at].resident_pages * page;
    }
    free(processes.all);
    return usage;
}
