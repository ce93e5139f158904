#define _GNU_SOURCE
#include "limits.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

static bool lower(__rlimit_resource_t resource, rlim_t soft, rlim_t hard) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) return false;
    // Never above what this process itself was given.
    if (now.rlim_max != RLIM_INFINITY && hard > now.rlim_max) hard = now.rlim_max;
    if (soft > hard) soft = hard;
    return setrlimit(resource, &(struct rlimit){.rlim_cur = soft, .rlim_max = hard}) == 0;
}

// RLIMIT_NPROC counts all of the user's processes, so it can't be the limit itself; but it keeps a fork bomb small enough
// to be ended. All of the machine's processes now, and what the job may have several times over.
static bool bound_processes(const struct limits *limits) {
    long long tasks = 0;
    FILE *loads = fopen("/proc/loadavg", "re");
    if (loads != NULL) {
        if (fscanf(loads, "%*s %*s %*s %*d/%lld", &tasks) != 1) tasks = 0;
        fclose(loads);
    }
    const rlim_t most = (rlim_t)tasks + 1024 + 10 * (rlim_t)limits->processes;
    return tasks == 0 || lower(RLIMIT_NPROC, most, most);
}

bool limits_apply(const struct limits *limits, bool counts_processes) {
    if (counts_processes && !bound_processes(limits)) return false;
    if (limits->file_bytes > 0) {
        const rlim_t most = (rlim_t)limits->file_bytes;
        if (!lower(RLIMIT_FSIZE, most, most)) return false;
    }
    if (limits->open_files == 0 && limits->most_open_files == 0) return true;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
    if (limits->open_files > 0) files.rlim_cur = (rlim_t)limits->open_files;
    if (limits->most_open_files > 0) files.rlim_max = (rlim_t)limits->most_open_files;
    return lower(RLIMIT_NOFILE, files.rlim_cur, files.rlim_max);
}

bool limits_pin(const struct limits *limits, unsigned seed) {
    int wanted = (int)((limits->cpus_milli + 999) / 1000);
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
    const int available = CPU_COUNT(&allowed);
    if (wanted <= 0 || wanted >= available) return true;
    CPU_ZERO(&chosen);
    const int first = (int)(seed % (unsigned)available);
    int position = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        if ((position - first + available) % available < wanted) CPU_SET(cpu, &chosen);
        position++;
    }
    return sched_setaffinity(0, sizeof chosen, &chosen) == 0;
}
