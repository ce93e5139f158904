#ifndef DSPY_SUPERVISOR_DESCENDANTS_H
#define DSPY_SUPERVISOR_DESCENDANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Kills and reaps every descendant of this process, also those that left the command's group or session: as child
// subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) it inherits every orphan, so it kills its own children again and again
// until it has none. The status of `command`, when it is among them, goes to `status`. False when some are still there
// after `patience_ms`: a process in an uninterruptible wait.
bool descendants_end(pid_t command, int *status, int64_t patience_ms);

#endif
