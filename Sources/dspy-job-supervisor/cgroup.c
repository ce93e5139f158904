#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

// Of the processor's time, in microseconds: the kernel's own default.
static const int64_t CPU_PERIOD_US = 100000;

static bool put(const char *directory, const char *file, const char *text) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, file) >= sizeof path) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t written;
    do {
        written = write(fd, text, strlen(text));
    } while (written < 0 && errno == EINTR);
    const int why = errno;
    close(fd);
    errno = why;
    return written >= 0;
}

static bool put_number(const char *directory, const char *file, int64_t number) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, number);
    return put(directory, file, text);
}

// The number behind `key` in a file of "key number" lines; 0 when it is not there.
static int64_t get(const char *directory, const char *file, const char *key) {
    char path[PATH_MAX], text[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, file) >= sizeof path) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        const size_t width = strlen(key);
        int64_t number = 0;
        if (strncmp(line, key, width) == 0 && sscanf(line + width, " %" SCNd64, &number) == 1) return number;
    }
    return 0;
}

// A pid is used again, and a group may outlive its supervisor: the time makes the name one of a kind.
static bool make(char *into, const char *parent) {
    if ((size_t)snprintf(into, PATH_MAX, "%s/attempt-%d-%" PRId64, parent, getpid(), wall_ns()) >= PATH_MAX) {
        into[0] = '\0';
        errno = ENAMETOOLONG;
        return false;
    }
    if (mkdir(into, 0755) == 0) return true;
    into[0] = '\0';
    return false;
}

static bool set_memory(const struct cgroup *group, int64_t bytes) {
    const char *path = group->paths[CGROUP_MEMORY];
    if (group->is_unified) {
        if (!put_number(path, "memory.max", bytes)) return false;
        // Not there without swap. With it, a hog would fill the swap before it is stopped.
        put(path, "memory.swap.max", "0");
        // One process of a job killed and the others waiting for it would be no end.
        put(path, "memory.oom.group", "1");
        return true;
    }
    if (!put_number(path, "memory.limit_in_bytes", bytes)) return false;
    put_number(path, "memory.memsw.limit_in_bytes", bytes);
    return true;
}

static bool set_cpu(const struct cgroup *group, int64_t milli) {
    const char *path = group->paths[CGROUP_CPU];
    // The kernel takes no quota below a millisecond.
    int64_t quota = CPU_PERIOD_US * milli / 1000;
    if (quota < 1000) quota = 1000;
    if (group->is_unified) {
        char text[64];
        snprintf(text, sizeof text, "%" PRId64 " %" PRId64, quota, CPU_PERIOD_US);
        return put(path, "cpu.max", text);
    }
    return put_number(path, "cpu.cfs_period_us", CPU_PERIOD_US) && put_number(path, "cpu.cfs_quota_us", quota);
}

static bool fill(struct cgroup *group, const struct cgroup_parents *parents, const struct limits *limits) {
    const int64_t wanted[CGROUP_CONTROLLERS] = {limits->memory_bytes, limits->processes, limits->cpus_milli};
    if (parents->unified != NULL) {
        group->is_unified = true;
        if (!make(group->paths[0], parents->unified)) return false;
        // Where there is a group at all, it is also what kills the attempt's processes at once.
        for (int at = 1; at < CGROUP_CONTROLLERS; at++) strcpy(group->paths[at], group->paths[0]);
    } else {
        const char *from[CGROUP_CONTROLLERS] = {parents->memory, parents->pids, parents->cpu};
        for (int at = 0; at < CGROUP_CONTROLLERS; at++) {
            if (from[at] != NULL && wanted[at] > 0 && !make(group->paths[at], from[at])) return false;
        }
    }
    if (wanted[CGROUP_MEMORY] > 0 && cgroup_holds(group, CGROUP_MEMORY) && !set_memory(group, limits->memory_bytes)) {
        return false;
    }
    if (wanted[CGROUP_PIDS] > 0 && cgroup_holds(group, CGROUP_PIDS) &&
        !put_number(group->paths[CGROUP_PIDS], "pids.max", limits->processes)) {
        return false;
    }
    return wanted[CGROUP_CPU] == 0 || !cgroup_holds(group, CGROUP_CPU) || set_cpu(group, limits->cpus_milli);
}

bool cgroup_make(struct cgroup *group, const struct cgroup_parents *parents, const struct limits *limits) {
    memset(group, 0, sizeof *group);
    if (fill(group, parents, limits)) return true;
    const int why = errno;
    cgroup_remove(group);
    errno = why;
    return false;
}

bool cgroup_holds(const struct cgroup *group, int controller) { return group->paths[controller][0] != '\0'; }

bool cgroup_join(const struct cgroup *group) {
    for (int at = 0; at < CGROUP_CONTROLLERS; at++) {
        if (!cgroup_holds(group, at)) continue;
        // 0 is the writer itself.
        if (!put(group->paths[at], "cgroup.procs", "0")) return false;
        if (group->is_unified) break;
    }
    return true;
}

void cgroup_kill(const struct cgroup *group) {
    // Version 1 can't kill, but nothing there forks any more.
    if (cgroup_holds(group, CGROUP_PIDS)) put(group->paths[CGROUP_PIDS], "pids.max", "0");
    if (group->is_unified) put(group->paths[0], "cgroup.kill", "1");
}

int64_t cgroup_oom_kills(const struct cgroup *group) {
    if (!cgroup_holds(group, CGROUP_MEMORY)) return 0;
    return get(group->paths[CGROUP_MEMORY], group->is_unified ? "memory.events" : "memory.oom_control", "oom_kill ");
}

int64_t cgroup_refused_forks(const struct cgroup *group) {
    return cgroup_holds(group, CGROUP_PIDS) ? get(group->paths[CGROUP_PIDS], "pids.events", "max ") : 0;
}

void cgroup_remove(struct cgroup *group) {
    for (int at = 0; at < CGROUP_CONTROLLERS; at++) {
        if (!cgroup_holds(group, at)) continue;
        // Busy for a moment after its last process was reaped.
        for (int tries = 0; rmdir(group->paths[at]) != 0 && errno == EBUSY && tries < 50; tries++) {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        group->paths[at][0] = '\0';
        if (group->is_unified) break;
    }
}
