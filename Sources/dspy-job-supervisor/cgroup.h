#ifndef DSPY_SUPERVISOR_CGROUP_H
#define DSPY_SUPERVISOR_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

// The parents below which attempts get control groups of their own, as the server found them; NULL where there is none.
// Either `unified` (cgroup v2, cgroups(7)) or any of version 1's controllers.
struct cgroup_parents {
    const char *unified;
    const char *memory;
    const char *pids;
    const char *cpu;
};

enum { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS };

// One attempt's groups: made before the command, removed after it.
struct cgroup {
    bool is_unified;
    // A path is empty where there is no group. With `is_unified` they are all the same directory.
    char paths[CGROUP_CONTROLLERS][PATH_MAX];
};

// Makes the groups that `limits` asks for and sets them. On failure (false, errno) nothing is left behind.
bool cgroup_make(struct cgroup *group, const struct cgroup_parents *parents, const struct limits *limits);

// Whether the group holds that limit, so that nobody else needs to.
bool cgroup_holds(const struct cgroup *group, int controller);

// Puts the calling process into the groups. False with errno.
bool cgroup_join(const struct cgroup *group);

// Lets nothing in the groups fork any more, and kills it all at once where the kernel can (cgroup.kill).
void cgroup_kill(const struct cgroup *group);

// How many processes the kernel killed in it for want of memory.
int64_t cgroup_oom_kills(const struct cgroup *group);

// How often a process could not be started for the limit on their number.
int64_t cgroup_refused_forks(const struct cgroup *group);

// Removes the groups. What is still in them (a process that SIGKILL did not end) keeps them.
void cgroup_remove(struct cgroup *group);

#endif
