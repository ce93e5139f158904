#ifndef DSPY_SUPERVISOR_LIMITS_H
#define DSPY_SUPERVISOR_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

// What one attempt may use; 0 is no limit. Memory, processes and processors are for the whole tree, the others for each
// process of it.
struct limits {
    int64_t memory_bytes;
    int64_t processes;
    int64_t cpus_milli;  // Thousandths of a processor.
    int64_t file_bytes;  // Of one file that it writes.
    // The soft limit to start with: the server may have raised its own for connections. 0 is the supervisor's.
    int64_t open_files;
    int64_t most_open_files;  // The hard limit, and hence the soft one's.
};

// The limits that the kernel holds for a process and what it forks (setrlimit(2)); called in the command's own process
// before it is executed. `counts_processes`: nothing but a look now and then holds it to the number of processes. False
// with errno.
bool limits_apply(const struct limits *limits, bool counts_processes);

// For want of a cgroup: as many whole processors as the limit rounds up to (sched_setaffinity(2)), another part of those
// there are for each `seed`. False with errno.
bool limits_pin(const struct limits *limits, unsigned seed);

#endif
