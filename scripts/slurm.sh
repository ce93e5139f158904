# Sourced by slurm-up and slurm-down: the daemons of a private cluster, known by their pid files alone.

# is_daemon PIDFILE NAME: whether the process in the file is alive and is that program; a pid may have been given anew.
is_daemon() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]] &&
    ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
  local tries=$(($1 * 20)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((--tries <= 0)); then
      tail -n 15 "$cluster"/log/*.log >&2 2>/dev/null || true
      fail "$what did not come up; the logs' last lines are above"
    fi
    sleep 0.05
  done
}

# end_daemon PIDFILE NAME: SIGTERM, after ten seconds SIGKILL.
end_daemon() {
  local pid tries=200
  if is_daemon "$1" "$2"; then
    pid=$(<"$1")
    kill "$pid" 2>/dev/null || true
    while is_daemon "$1" "$2"; do
      if ((--tries <= 0)); then kill -9 "$pid" 2>/dev/null || true; break; fi
      sleep 0.05
    done
  fi
  rm -f "$1"
}
