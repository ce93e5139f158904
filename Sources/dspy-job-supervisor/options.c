#include "options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *to) {
    fputs("usage: dspy-job-supervisor --dir DIR [options] -- PROGRAM [ARGUMENT...]\n"
          "\n"
          "Runs one attempt of a job and leaves a record of it, whatever becomes of the server that\n"
          "started it. The command's environment is the supervisor's own. SIGTERM cancels the attempt.\n"
          "\n"
          "  --dir DIR         the attempt's directory: pid, lock, stdout, stderr and exit are written here\n"
          "  --lock-fd N       an inherited descriptor that holds the lock on DIR/lock (default: lock it here)\n"
          "  --cwd DIR         the command's working directory (default: the attempt's directory)\n"
          "  --stdin FILE      the command's standard input, relative to DIR (default: /dev/null)\n"
          "  --timeout-ms N    end the command after N milliseconds (default 0: never)\n"
          "  --grace-ms N      from SIGTERM to SIGKILL, in milliseconds (default 5000)\n"
          "  --stdout-cap N    bytes of standard output to keep (default 16777216)\n"
          "  --stderr-cap N    bytes of standard error to keep (default 16777216)\n"
          "  --lifeline-fd N   an inherited pipe; the attempt is cancelled when its other end is gone\n"
          "  --stdio-fd N      inherited descriptors N, N+1 and N+2 are the command's standard input, output\n"
          "                    and error; nothing is captured\n"
          "\n"
          "  --memory-bytes N  of the command and its descendants together\n"
          "  --processes N     of the command and its descendants\n"
          "  --cpus-milli N    thousandths of a processor\n"
          "  --file-bytes N    of one file that is written (RLIMIT_FSIZE)\n"
          "  --open-files N    of one process, its soft limit at first (default: the supervisor's own)\n"
          "  --most-open-files N\n"
          "                    of one process, at any time (RLIMIT_NOFILE, soft and hard)\n"
          "  --cgroup2 DIR     a cgroup v2 directory to make the attempt's group in\n"
          "  --cgroup1-memory DIR, --cgroup1-pids DIR, --cgroup1-cpu DIR\n"
          "                    the same with version 1's controllers. Without a group, memory and processes\n"
          "                    are looked at every 50 ms, and --cpus-milli chooses whole processors.\n"
          "\n"
          "  --sandbox         no new privileges, no file but those below the paths that follow (Landlock)\n"
          "  --readable PATH   may be read below it; may be given often\n"
          "  --writable PATH   may be written below it; may be given often\n"
          "  --network         sockets are allowed in the sandbox\n"
          "  --check-sandbox   says whether this kernel can do all that; exit status 0 when it can\n"
          "  --help            this text\n"
          "\n"
          "DIR/exit holds one key=value a line, the last being end=1. Exit status: 0 when the record was\n"
          "written, 64 for wrong options, 74 when DIR can't be written, 75 when the lock is held elsewhere.\n",
          to);
}

static bool number(const char *option, const char *text, int64_t most, int64_t *into) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > most) {
        fprintf(stderr, "dspy-job-supervisor: %s must be a number from 0 to %lld, not \"%s\"\n", option,
                (long long)most, text);
        return false;
    }
    *into = value;
    return true;
}

static bool path_to(const char *option, const char *value, const char **paths, int *count) {
    if (*count == SANDBOX_PATHS) {
        fprintf(stderr, "dspy-job-supervisor: %s is given more than %d times\n", option, SANDBOX_PATHS);
        return false;
    }
    paths[(*count)++] = value;
    return true;
}

// Options without a value.
static bool is_switch(const char *name, struct options *options) {
    if (strcmp(name, "--sandbox") == 0) {
        options->sandbox.is_on = true;
    } else if (strcmp(name, "--network") == 0) {
        options->sandbox.allows_network = true;
    } else {
        return false;
    }
    return true;
}

enum parsed options_parse(int argc, char **argv, struct options *options) {
    *options = (struct options){
        .lock_fd = -1, .lifeline_fd = -1, .stdio_fd = -1, .grace_ms = 5000, .stdout_cap = 16 << 20, .stderr_cap = 16 << 20};
    const int64_t longest_ms = INT64_MAX / 4000000;
    int at = 1;
    for (; at < argc; at++) {
        const char *name = argv[at];
        if (strcmp(name, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(name, "--help") == 0) {
            usage(stdout);
            return PARSED_HELP;
        }
        if (strcmp(name, "--check-sandbox") == 0) return PARSED_CHECK;
        if (is_switch(name, options)) continue;
        if (at + 1 >= argc) {
            fprintf(stderr, "dspy-job-supervisor: \"%s\" needs a value; see --help\n", name);
            return PARSED_INVALID;
        }
        const char *value = argv[++at];
        bool valid = true;
        int64_t parsed = 0;
        if (strcmp(name, "--dir") == 0) {
            options->dir = value;
        } else if (strcmp(name, "--cwd") == 0) {
            options->cwd = value;
        } else if (strcmp(name, "--stdin") == 0) {
            options->input = value;
        } else if (strcmp(name, "--lock-fd") == 0) {
            valid = number(name, value, INT_MAX, &parsed);
            options->lock_fd = (int)parsed;
        } else if (strcmp(name, "--timeout-ms") == 0) {
            valid = number(name, value, longest_ms, &options->timeout_ms);
        } else if (strcmp(name, "--grace-ms") == 0) {
            valid = number(name, value, longest_ms, &options->grace_ms);
        } else if (strcmp(name, "--stdout-cap") == 0) {
            valid = number(name, value, INT64_MAX, &options->stdout_cap);
        } else if (strcmp(name, "--stderr-cap") == 0) {
            valid = number(name, value, INT64_MAX, &options->stderr_cap);
        } else if (strcmp(name, "--open-files") == 0) {
            valid = number(name, value, INT_MAX, &options->limits.open_files);
        } else if (strcmp(name, "--lifeline-fd") == 0) {
            valid = number(name, value, INT_MAX, &parsed);
            options->lifeline_fd = (int)parsed;
        } else if (strcmp(name, "--stdio-fd") == 0) {
            valid = number(name, value, INT_MAX - 2, &parsed);
            options->stdio_fd = (int)parsed;
        } else if (strcmp(name, "--memory-bytes") == 0) {
            valid = number(name, value, INT64_MAX, &options->limits.memory_bytes);
        } else if (strcmp(name, "--processes") == 0) {
            valid = number(name, value, INT_MAX, &options->limits.processes);
        } else if (strcmp(name, "--cpus-milli") == 0) {
            valid = number(name, value, INT_MAX, &options->limits.cpus_milli);
        } else if (strcmp(name, "--file-bytes") == 0) {
            valid = number(name, value, INT64_MAX, &options->limits.file_bytes);
        } else if (strcmp(name, "--most-open-files") == 0) {
            valid = number(name, value, INT_MAX, &options->limits.most_open_files);
        } else if (strcmp(name, "--cgroup2") == 0) {
            options->cgroups.unified = value;
        } else if (strcmp(name, "--cgroup1-memory") == 0) {
            options->cgroups.memory = value;
        } else if (strcmp(name, "--cgroup1-pids") == 0) {
            options->cgroups.pids = value;
        } else if (strcmp(name, "--cgroup1-cpu") == 0) {
            options->cgroups.cpu = value;
        } else if (strcmp(name, "--readable") == 0) {
            valid = path_to(name, value, options->sandbox.readable, &options->sandbox.readable_count);
        } else if (strcmp(name, "--writable") == 0) {
            valid = path_to(name, value, options->sandbox.writable, &options->sandbox.writable_count);
        } else {
            fprintf(stderr, "dspy-job-supervisor: unknown option \"%s\"; see --help\n", name);
            valid = false;
        }
        if (!valid) return PARSED_INVALID;
    }
    if (options->dir == NULL || at >= argc) {
        fputs("dspy-job-supervisor: --dir and a command after -- are needed; see --help\n", stderr);
        return PARSED_INVALID;
    }
    options->command = argv + at;
    return PARSED_RUN;
}
