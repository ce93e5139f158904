#ifndef DSPY_SUPERVISOR_COMMAND_H
#define DSPY_SUPERVISOR_COMMAND_H

#include <sys/types.h>

#include "record.h"

// Starts the command in a process group of its own, with default signals, and waits until it has been executed. -1 when
// it could not be: `step` and `why` (an errno) then say where. `cwd` NULL is the current directory.
pid_t command_start(char **arguments, const char *cwd, int input, int output, int errors, enum start_step *step,
                    int *why);

#endif
