/// The script that sbatch is given: the same for every job, but for a template's `#SBATCH` lines. Everything that belongs
/// to a job is data in its directory, which the script finds by a variable.
enum BatchScript {
    static func text(directives: [String]) -> [UInt8] {
        let head = ["#!/bin/bash"] + directives
        return Array((head.joined(separator: "\n") + "\n" + body).utf8)
    }

    /// Variables of sbatch's own environment, which the job inherits.
    static func variables(
        directory: AttemptDirectory, work: String, bells: String, name: String, outputCap: Int64
    ) -> [String: String] {
        [
            "DSPY_ATTEMPT_DIR": directory.path, "DSPY_WORK_DIR": work, "DSPY_BELLS": bells, "DSPY_BATCH_NAME": name,
            "DSPY_OUTPUT_CAP": String(outputCap),
        ]
    }

    /// Words that end in NUL, as the script reads them.
    static func words(_ words: some Sequence<String>) -> [UInt8] { words.flatMap { Array($0.utf8) + [0] } }

    private static let body = #"""
        # Made by dspy-orchestrator for one attempt at a job. Runs the command whose words stand in the file `command`, and
        # leaves `started` and `exit` for the server to read. Bash from 4.4 and coreutils are all that it needs.
        cd -- "$DSPY_ATTEMPT_DIR" || exit 1
        work=$DSPY_WORK_DIR dir=$DSPY_ATTEMPT_DIR bells=$DSPY_BELLS name=$DSPY_BATCH_NAME
        job=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0} cap=$DSPY_OUTPUT_CAP piece=\#(OutputRest.pieceBytes)
        terminated=0
        trap 'terminated=1' TERM

        # Should the same attempt have reached Slurm twice, the first one that starts runs it. A link is made whole or not
        # at all, also on network file systems; a later run of the same job finds it made.
        [[ -e claim ]] || { printf '%s\n' "$job" >"claim.$job" && ln "claim.$job" claim 2>/dev/null; }
        owner=$(<claim)
        if [[ -z $owner ]]; then
          echo "attempt $dir can't be claimed; is its disk full, or not to be written by this user?" >&2
          exit 1
        fi
        if [[ $owner != "$job" ]]; then
          echo "attempt $dir belongs to job $owner; job $job ends without doing anything" >&2
          exit 0
        fi

        # leave FILE LINE...: the lines in place at once, and its bell rung.
        leave() {
          local file=$1
          shift
          printf '%s\n' "slurm_job_id=$job" "restarts=$restarts" "node=$SLURMD_NODENAME" \
            "nodes=$SLURM_JOB_NODELIST" "started_ns=$started" "$@" end=1 >"$file.$job" &&
            mv -f "$file.$job" "$file"
          : >"$bells/$name.$restarts.$file"
        }
        give_up() { leave exit "start_error=$1"; exit 1; }

        size() { stat -c %s -- "$1" || echo 0; }
        # Without it output shows up some KiB at a time.
        unbuffered=()
        if command -v stdbuf >/dev/null; then unbuffered=(stdbuf -o0); fi

        # keep STREAM: standard input goes into the stream's file until that has as much as is kept of a beginning; of what
        # comes after, the last two pieces stay. Whatever happens it reads on, lest a write of the job's fail: it ignores the
        # signals by which Slurm ends a job, which may still say something, and a full disk.
        keep() {
          trap '' HUP INT QUIT ALRM TERM USR1 USR2 XCPU XFSZ
          local file=$dir/$1 room number=0 rest
          room=$((cap - $(size "$file")))
          if ((room > 0)); then "${unbuffered[@]}" head -c "$room" >>"$file"; fi
          if (($(size "$file") >= cap)); then
            # An earlier run of the same attempt may have left some.
            for rest in "$file".rest.*; do
              rest=${rest##*.}
              if [[ $rest != '*' ]] && ((rest > number)); then number=$rest; fi
            done
            while :; do
              rest=$file.rest.$number
              head -c $((piece - $(size "$rest"))) >>"$rest"
              if (($(size "$rest") < piece)); then break; fi
              rm -f "$file.rest.$((number - 1))"
              ((++number))
            done
            if [[ ! -s $rest ]]; then rm -f "$rest"; fi
          fi
          cat
        } >/dev/null 2>&1

        started=$(date +%s%N)
        rm -f exit
        leave started
        command=()
        while LC_ALL=C IFS= read -r -d '' word; do command+=("$word"); done <command || give_up "no command"
        unset DSPY_ATTEMPT_DIR DSPY_WORK_DIR DSPY_BELLS DSPY_BATCH_NAME DSPY_OUTPUT_CAP
        input=/dev/null
        if [[ -e stdin ]]; then input=$dir/stdin; fi
        cd -- "$work" || give_up "its working directory can't be entered"
        exec 4> >(keep stdout)
        stdout=$!
        exec 5> >(exec 4>&-; keep stderr)
        stderr=$!
        # Bash says of a command that a signal ended it, and nothing of one that exited with 128 and more.
        exec 3>&2 2>"$dir/ended_by"
        (
          # Only here, where no variable of the job's can take the place of one of the script's.
          set -- "${command[@]}"
          while LC_ALL=C IFS= read -r -d '' DSPY_WORD; do export "$DSPY_WORD"; done <"$dir/environment" || exit 126
          unset DSPY_WORD
          exec -- "$@"
        ) <"$input" >&4 2>&5 3>&- 4>&- 5>&-
        status=$?
        exec 2>&3 3>&- 4>&- 5>&-
        # Until the files have all that the command wrote. What it leaves running may write for a second more.
        for ((tries = 0; tries < 100; tries++)); do
          kill -0 "$stdout" 2>/dev/null || kill -0 "$stderr" 2>/dev/null || break
          sleep 0.01
        done
        cd -- "$dir" || exit 1
        if ((status > 128)) && [[ -s ended_by || $status == 130 || $status == 141 || $status == 143 ]]; then
          end="signal=$((status - 128))"
        else
          end="exit_code=$status"
        fi
        leave exit "$end" "finished_ns=$(date +%s%N)" "terminated=$terminated"
        exit "$status"

        """#
}
