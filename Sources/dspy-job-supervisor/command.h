#ifndef DSPY_SUPERVISOR_COMMAND_H
#define DSPY_SUPERVISOR_COMMAND_H

#include <sys/types.h>

#include "cgroup.h"
#include "options.h"
#include "record.h"

// Starts the command in a process group of its own, with default signals, and waits until it has been executed: in its
// control groups, limits and sandbox from its first instruction. -1 when it could not be: `step` and `why` (an errno)
// then say where.
pid_t command_start(const struct options *options, const struct cgroup *group, int input, int output, int errors,
                    enum start_step *step, int *why);

#endif
