# Shared by the scripts of tools/; sourced, never run. Everything it says goes to stderr: stdout belongs to the program.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${DEMORL_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?HOME is not set; set it or DEMORL_CACHE_DIR}/.cache}/demorl}
buf_version=1.75.0
# Programs built from the Go modules of tools/go, anew when one of these changes. The images are built without them.
go_tools=$cache/go-tools-$(cat "$root"/tools/go/*/go.{mod,sum} 2>/dev/null | sha256sum | cut -c1-12 || true)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# num_jobs: one compiler per core, but no more than memory carries (1.5 GiB each).
num_jobs() {
  local cores memory_jobs
  cores=$(nproc)
  memory_jobs=$(($(available_memory_mib) / 1536))
  ((memory_jobs < 1)) && memory_jobs=1
  echo $((cores < memory_jobs ? cores : memory_jobs))
}

available_memory_mib() {
  local kib limit used
  kib=$(awk '/^MemAvailable:|^SwapFree:/ { sum += $2 } END { print int(sum) }' "${DEMORL_MEMINFO:-/proc/meminfo}")
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit =~ ^[0-9]+$ ]]; then
    used=$(awk '$1 == "anon" { print $2 }' /sys/fs/cgroup/memory.stat 2>/dev/null || echo 0)
    limit=$(((limit - ${used:-0}) / 1024))
    ((limit < kib)) && kib=$limit
  fi
  echo $((kib / 1024))
}

# free_disk_mib FOLDER: space left where FOLDER is, or will be.
free_disk_mib() {
  local folder=$1
  while [[ ! -e $folder ]]; do folder=$(dirname "$folder"); done
  df -Pm "$folder" | awk 'NR == 2 { print $4 }'
}

# check_space: a full build and its cache take about 4 GiB of disk, a compiler of Torch code 1.5 GiB of memory.
check_space() {
  local folder free
  [[ -n ${DEMORL_IGNORE_SPACE:-} ]] && return
  for folder in "$cache" "$root"; do
    free=$(free_disk_mib "$folder")
    ((free >= 6144)) || die "$free MiB of disk are free at $folder; want 6144 (DEMORL_IGNORE_SPACE=1 goes on anyway)"
  done
  free=$(available_memory_mib)
  ((free >= 3072)) || die "$free MiB of memory are free; want 3072 (DEMORL_IGNORE_SPACE=1 goes on anyway)"
}

# configure PRESET FOLDER [cmake arguments]: only when FOLDER has no build files; ninja repeats it when an input changed.
configure() {
  local preset=$1 folder=$2
  shift 2
  [[ -e $folder/build.ninja ]] && return
  check_space
  say "configuring ${folder#"$root"/}"
  if ! cmake -S "$root" -B "$folder" --preset "$preset" "$@" >"$folder/configure.log" 2>&1; then
    cat "$folder/configure.log" >&2
    rm -rf "$folder/CMakeCache.txt" "$folder/configure.log"
    die "cmake could not configure $folder (above)"
  fi
  rm -f "$folder/configure.log"
}

# build PRESET FOLDER TARGETS -- [cmake arguments]: one at a time per folder; silent when nothing is to do.
build() {
  local preset=$1 folder=$2 targets=()
  shift 2
  while (($#)) && [[ $1 != -- ]]; do
    targets+=("$1")
    shift
  done
  (($#)) && shift
  mkdir -p "$folder"
  (
    flock -n 9 || {
      say "waiting for another build in ${folder#"$root"/}"
      flock 9
    }
    configure "$preset" "$folder" "$@" 9>&-
    run_ninja "$folder" "${targets[@]}" 9>&-
  ) 9>"$folder/.tools.lock"
}

# Shows one line of progress on a terminal, one line in all elsewhere, and none when nothing is to compile.
run_ninja() {
  local folder=$1 log=$1/build.log
  shift
  if ninja -C "$folder" -j "$(num_jobs)" "$@" 2>&1 | tee "$log" | show_progress "${folder#"$root"/}"; then return; fi
  grep -v '^\[[0-9]*/[0-9]*\]' "$log" | head -n 200 >&2
  die "the build failed (above; all of it is in $log)"
}

show_progress() {
  local line said=
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+/[0-9]+)\]\ (Building|Linking|protoc) ]] || continue
    if [[ -t 2 ]]; then
      printf '\r\e[Kbuilding %s: %s' "$1" "${BASH_REMATCH[1]}" >&2
    elif [[ -z $said ]]; then
      say "building $1"
    fi
    said=1
  done
  if [[ -n $said && -t 2 ]]; then printf '\r\e[K' >&2; fi
}

# A series of checks: begin_checks FOLDER for their logs, check NAME COMMAND... for each, end_checks. Where names is a
# non-empty array, only checks whose name contains one of its elements run.
names=()
begin_checks() {
  logs=$1
  failures=()
  skipped=()
  beside_pid=
  rm -rf "$logs"
  mkdir -p "$logs"
}

check() {
  ! is_left_out "$1" || return 0
  run_check "$@" || failures+=("$1")
}

# One of a series: runs while the checks after it do, and is shown at the end. For one that mostly waits.
check_beside() {
  ! is_left_out "$1" || return 0
  beside_name=$1
  set -m # in a process group of its own, to be ended with all that it started
  run_check "$@" >"$logs/beside.line" &
  set +m
  beside_pid=$!
  trap 'kill -- "-$beside_pid" 2>/dev/null' EXIT
}

# One line when it passes, with the last of its log; all of its log's end when it fails.
run_check() {
  local name=$1 log started=$SECONDS
  log=$logs/${name//[^A-Za-z0-9]/-}.log
  shift
  if "$@" >"$log" 2>&1; then
    printf 'ok    %-46s %4d s  %s\n' "$name" $((SECONDS - started)) "$(tail -n1 "$log" | cut -c1-80)"
  else
    printf 'FAIL  %-46s %4d s\n' "$name" $((SECONDS - started))
    tail -n 150 "$log"
    return 1
  fi
}

is_left_out() {
  ! is_wanted "$1" || return 1
  skipped+=("$1")
}

is_wanted() {
  local wanted
  ((${#names[@]} == 0)) && return
  for wanted in "${names[@]}"; do
    [[ $1 == *"$wanted"* ]] && return
  done
  return 1
}

end_checks() {
  if [[ -n $beside_pid ]]; then
    wait "$beside_pid" || failures+=("$beside_name")
    trap - EXIT
    cat "$logs/beside.line"
  fi
  [[ -n $(ls -A "$logs") ]] || die "no check is named like '${names[*]}'; there are: $(join_names "${skipped[@]}")"
  ((${#failures[@]} == 0)) || die "failed: $(join_names "${failures[@]}")"
}

join_names() {
  local joined
  joined=$(printf '%s; ' "$@")
  echo "${joined%; }"
}
