# Sourced by the scripts beside it: how they talk, and how they make virtual environments.

note() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# A heading with the seconds since the script started.
section() { printf '\n== %s  (%d s)\n' "$*" "$SECONDS"; }

# ensure_venv DIR KEY ARGUMENT...: a virtual environment in DIR with `pip install ARGUMENT...` done. KEY is what the
# outcome depends on; nothing happens while it is the one of the last time.
ensure_venv() {
  local directory=$1 key=$2
  shift 2
  local stamp="$directory/.installed-$(basename "$directory")"
  key="$(python3 -V) $PWD $key"
  if [[ -x $directory/bin/python && -f $stamp && $(<"$stamp") == "$key" ]]; then return; fi
  python3 -m venv "$directory" ||
    fail "python3 -m venv failed: install the package python3-venv, remove $directory and try again"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    fail "pip could not install $*: check the network and the message above"
  printf '%s\n' "$key" >"$stamp"
}
