#ifndef DSPY_SUPERVISOR_DESCENDANTS_H
#define DSPY_SUPERVISOR_DESCENDANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Kills and reaps every descendant of this process, also those that left the command's group or session: as child
// subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) it inherits every orphan, so it kills what it has again and again until
// there is nothing. The status of `command`, when it is among them, goes to `status`. False when some are still there
// after `patience_ms`: a process in an uninterruptible wait.
bool descendants_end(pid_t command, int *status, int64_t patience_ms);

struct usage {
    int64_t processes;
    int64_t resident_bytes;  // What several processes share is counted for each.
};

// What all descendants use now.
struct usage descendants_usage(void);

#endif
