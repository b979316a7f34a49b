#!/bin/bash
# tests/run.sh - every test of the project; the last line is "N passed, N failed".
#
#   tests/run.sh [--quick] [--list] [FILTER]
#
# --quick   leaves out the clang, sanitizer and fault builds, fuzzing and tests marked slow
# --list    prints the names of the steps and ends
# FILTER    only steps whose name contains it; "e2e/test_two_dc" and "e2e/test_two_dc.py::x"
#           choose end-to-end files and single tests
#
# BUILD_ROOT    where builds go (default: build/ and build-test-*/ in the checkout)
# FUZZ_SECONDS  per fuzz target (10)
# SIM_SCHEDULES seeded schedules of the simulation (300000)
# KEEP=1        keep servers' data and logs of this run
#
# Every step logs to a file; a failed step's end is printed. Builds come first, then what
# needs only the processor runs beside the end-to-end tests.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
ROOT=$PWD
quick=0 list=0 filter=""
for arg in "$@"; do
	case $arg in
	--quick) quick=1 ;;
	--list) list=1 ;;
	-h | --help) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "unknown option $arg" >&2; exit 2 ;;
	*) filter=$arg ;;
	esac
done

PYTHON=/usr/bin/python3
BUILD_ROOT=${BUILD_ROOT:-$ROOT}
FUZZ_SECONDS=${FUZZ_SECONDS:-10}
SIM_SCHEDULES=${SIM_SCHEDULES:-300000}
JOBS=${JOBS:-$(nproc)}
export CCACHE_DIR=${CCACHE_DIR:-$BUILD_ROOT/build-ccache}
# Python's cache must not land in the checkout: a read-only one has to work too.
export PYTHONDONTWRITEBYTECODE=1
# A sanitizer's finding must fail the test, whatever the program does afterwards.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

work=$(mktemp -d "${TMPDIR:-/tmp}/diarchy-run.XXXXXX")
chmod 755 "$work"
export DIARCHY_TEST_DIR=$work/servers
mkdir -p "$DIARCHY_TEST_DIR"
passed=0 failed=0 failed_names=()
started=$SECONDS
background=()

cleanup() {
	local pid
	trap - EXIT INT TERM
	for pid in "${background[@]}"; do
		kill "$pid" 2>/dev/null
	done
	# Servers that an interrupted suite could not stop itself; only ids it wrote down
	# and that still run one of our programs.
	if [ -f "$DIARCHY_TEST_DIR/pids" ]; then
		while read -r pid; do
			case $(readlink "/proc/$pid/exe" 2>/dev/null) in
			*/mariadbd | */diarchy | */python3* | */sysbench | */haproxy) kill -9 "$pid" 2>/dev/null ;;
			esac
		done <"$DIARCHY_TEST_DIR/pids"
	fi
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $work"
	else
		rm -rf "$work"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

wanted() { [ -z "$filter" ] || [[ $1 == *"$filter"* ]]; }
say() { printf '%5ds  %s\n' "$((SECONDS - started))" "$*"; }

# count PASSED FAILED NAME: add to the totals.
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
	[ "$2" -eq 0 ] || failed_names+=("$3")
}

# A step prints to its log and may write "P F" into $log.count; otherwise it counts as one.
finish() {
	local name=$1 log=$2 rc=$3 p f
	if [ -f "$log.count" ]; then
		read -r p f <"$log.count"
		[ "$rc" -eq 0 ] || [ "$f" -gt 0 ] || f=1
	elif [ "$rc" -eq 0 ]; then
		p=1 f=0
	else
		p=0 f=1
	fi
	count "$p" "$f" "$name"
	if [ "$f" -eq 0 ]; then
		say "ok      $name ($p)"
	else
		say "FAILED  $name ($p passed, $f failed, exit $rc)"
		tail -n "${FAIL_LINES:-120}" "$log" | sed 's/^/        | /'
		return 1
	fi
}

# What stands on a build that failed is not run, and counts as failed.
skipped() {
	wanted "$1" || return 0
	count 0 1 "$1"
	say "FAILED  $1 (not run: its build failed)"
}

step() {
	local name=$1 log
	shift
	wanted "$name" || return 0
	if [ $list -eq 1 ]; then echo "$name"; return 0; fi
	log=$work/${name//\//_}.log
	"$@" >"$log" 2>&1 </dev/null
	finish "$name" "$log" $? # the step's status, for what stands on it
}

# later NAME COMMAND...: queued for one chain that `start_later` runs beside what follows:
# these need only a processor, and one of them at a time leaves the other to the servers.
later_names=() later_commands=()
later() {
	local name=$1
	shift
	wanted "$name" || return 0
	if [ $list -eq 1 ]; then echo "$name"; return 0; fi
	later_names+=("$name")
	later_commands+=("$*")
}
later_log() { echo "$work/${1//\//_}.log"; }
start_later() {
	[ ${#later_names[@]} -gt 0 ] || return 0
	(
		trap - EXIT INT TERM
		for i in "${!later_names[@]}"; do
			log=$(later_log "${later_names[$i]}")
			${later_commands[$i]} >"$log" 2>&1 </dev/null
			echo $? >"$log.rc"
		done
	) &
	background+=($!)
}
collect() {
	local name log rc
	[ ${#later_names[@]} -gt 0 ] || return 0
	wait "${background[@]}"
	for name in "${later_names[@]}"; do
		log=$(later_log "$name")
		rc=1
		[ -f "$log.rc" ] && read -r rc <"$log.rc"
		finish "$name" "$log" "$rc"
	done
	background=()
}

# ---- static ----------------------------------------------------------------------------

# The committed files; of whoever owns the checkout, and without git all that is there.
own_files() {
	if [ -e .git ]; then
		git -c safe.directory="$ROOT" ls-files -- "$@"
	else
		local names=() pattern
		for pattern in "$@"; do
			case $pattern in :!*) ;; .) names+=(-o -path '*') ;; *) names+=(-o -name "$pattern") ;; esac
		done
		find . -path './build*' -prune -o -type f \( "${names[@]:1}" \) -print
	fi
}

check_format() {
	own_files '*.c' '*.h' | xargs clang-format --dry-run -Werror
}
check_spelling() {
	own_files . ':!tests/fuzz/corpus' | grep -v tests/fuzz/corpus |
		xargs codespell --ignore-words=tests/lib/spelling.txt
}
check_shell() {
	local f rc=0
	for f in $(own_files '*.sh') .ci/run; do
		bash -n "$f" || rc=1
	done
	own_files '*.py' | xargs "$PYTHON" -c 'import ast,sys
for f in sys.argv[1:]: ast.parse(open(f).read(), f)' || rc=1
	return $rc
}

# ---- builds ----------------------------------------------------------------------------

# configure_build FOLDER OPTION...; target=NAME builds that alone
configure_build() {
	local folder=$1 launcher=()
	shift
	command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	cmake -S "$ROOT" -B "$folder" -G Ninja "${launcher[@]}" "$@" &&
		cmake --build "$folder" -j "$JOBS" ${target:+--target "$target"}
}
build_fault() { target=diarchy configure_build "$fault_dir" -DFAULTS=ON; }
gcc_dir=$BUILD_ROOT/build
clang_dir=$BUILD_ROOT/build-test-clang
asan_dir=$BUILD_ROOT/build-test-asan
fuzz_dir=$BUILD_ROOT/build-test-fuzz
fault_dir=$BUILD_ROOT/build-test-fault
export DIARCHY_BIN=${DIARCHY_BIN:-$gcc_dir/diarchy}

# run_ctest FOLDER: counts single tests.
run_ctest() {
	local log=$1/ctest.log total bad
	ctest --test-dir "$1" --output-on-failure -j "$JOBS" --timeout 300 >"$log" 2>&1
	local rc=$?
	cat "$log"
	if grep -q 'No tests were found' "$log"; then
		echo "no tests were found in $1"
		return 1
	fi
	bad=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of .*/\1/p' "$log")
	total=$(sed -n 's/.* tests failed out of \([0-9]*\).*/\1/p' "$log")
	[ -n "$total" ] && echo "$((total - bad)) $bad" >"$2.count"
	return $rc
}

# ---- simulation ------------------------------------------------------------------------

sim_schedules() { "$gcc_dir/sim" --schedules "$SIM_SCHEDULES"; }
sim_prove_breaks() { "$gcc_dir/sim" --prove-breaks; }

# ---- fuzzing ---------------------------------------------------------------------------

# Each target from its committed corpus into a scratch one; a crash prints how to replay it.
run_fuzz() {
	local count_file=$1.count source name p=0 f=0 scratch
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		scratch=$work/fuzz/$name
		mkdir -p "$scratch"
		if "$fuzz_dir/$name" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix="$work/fuzz/$name." \
			"$scratch" "tests/fuzz/corpus/$name" >"$work/fuzz/$name.log" 2>&1; then
			p=$((p + 1))
			echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' \
				"$work/fuzz/$name.log") runs"
		else
			f=$((f + 1))
			echo "$name found something:"
			tail -n 40 "$work/fuzz/$name.log"
			for a in "$work/fuzz/$name".crash-* "$work/fuzz/$name".timeout-* "$work/fuzz/$name".oom-*; do
				[ -f "$a" ] || continue
				echo "input (base64) for $name:"
				head -c 4096 "$a" | base64
			done
		fi
	done
	echo "$p $f" >"$count_file"
	[ "$f" -eq 0 ] && [ "$p" -gt 0 ]
}

# ---- end to end ------------------------------------------------------------------------

# run_pytest LOG PYTEST-ARGUMENTS
run_pytest() {
	local log=$1 rc p f e
	shift
	"$PYTHON" -m pytest -p no:cacheprovider -q -ra --tb=short --durations=5 "$@" >"$log.out" 2>&1
	rc=$?
	cat "$log.out"
	p=$(sed -n 's/.*\b\([0-9]\+\) passed.*/\1/p' "$log.out" | tail -1)
	f=$(sed -n 's/.*\b\([0-9]\+\) failed.*/\1/p' "$log.out" | tail -1)
	e=$(sed -n 's/.*\b\([0-9]\+\) errors\?\b.*/\1/p' "$log.out" | tail -1)
	echo "${p:-0} $((${f:-0} + ${e:-0}))" >"$log.count"
	# 5: nothing collected, e.g. all of a file is marked slow.
	[ $rc -eq 5 ] && [ $quick -eq 1 ] && return 0
	return $rc
}

e2e_step() {
	local name=$1 target=$2 args=()
	[ $quick -eq 1 ] && args=(-m "not slow")
	step "$name" run_pytest "$work/${name//\//_}.log" "${args[@]}" "$target"
}

story() { ./docker/two-dc.sh --once; }

# ---- the run ---------------------------------------------------------------------------

# A filter that names only end-to-end tests or the simulation still needs the programs.
if [ $list -eq 0 ] && [[ $filter == e2e* || $filter == bugs* || $filter == sim* || $filter == *::* ]]; then
	configure_build "$gcc_dir" >"$work/build.log" 2>&1 || {
		tail -50 "$work/build.log"
		count 0 1 build/gcc
		echo "$passed passed, $failed failed"
		exit 1
	}
fi

# "e2e/test_x.py::test_y": a single test.
if [[ $filter == *::* ]]; then
	e2e_step "$filter" "tests/$filter"
	echo "$passed passed, $failed failed"
	[ $failed -eq 0 ]
	exit
fi

step static/shell check_shell
step static/format check_format
step static/spelling check_spelling
step static/documents "$PYTHON" tests/lib/check_documents.py
gcc_ok=1 fuzz_ok=1
step build/gcc configure_build "$gcc_dir" || gcc_ok=0
if [ $quick -eq 0 ]; then
	step build/clang configure_build "$clang_dir" -DCMAKE_C_COMPILER=clang
	if step build/asan configure_build "$asan_dir" -DASAN=ON -DUBSAN=ON; then
		step unit/asan run_ctest "$asan_dir" "$work/unit_asan.log"
	else
		skipped unit/asan
	fi
	step build/fuzz configure_build "$fuzz_dir" -DCMAKE_C_COMPILER=clang -DFUZZ=ON -DASAN=ON \
		-DUBSAN=ON || fuzz_ok=0
elif [ $gcc_ok -eq 1 ]; then
	step unit/gcc run_ctest "$gcc_dir" "$work/unit_gcc.log"
fi

# The simulation and the fuzzers need one core; the servers get the other.
if [ $quick -eq 0 ]; then
	if [ $fuzz_ok -eq 1 ]; then
		later fuzz/all run_fuzz "$work/fuzz_all.log"
	else
		skipped fuzz/all
	fi
fi
if [ $gcc_ok -eq 1 ]; then
	later sim/schedules sim_schedules
	later sim/prove-breaks sim_prove_breaks
	start_later
	for f in tests/e2e/test_*.py tests/bugs/test_*.py; do
		e2e_step "$(basename "$(dirname "$f")")/$(basename "$f" .py)" "$f"
	done
	step story/two-dc story
	if [ $quick -eq 0 ]; then
		if step build/fault build_fault; then
			for f in tests/fault/test_*.py; do
				[ -f "$f" ] || continue
				DIARCHY_BIN=$fault_dir/diarchy e2e_step "fault/$(basename "$f" .py)" "$f"
			done
		else
			skipped fault
		fi
	fi
else
	start_later
	skipped sim
	skipped e2e
	skipped bugs
	skipped fault
	skipped story/two-dc
fi
collect

[ $list -eq 1 ] && exit 0
if [ ${#failed_names[@]} -gt 0 ]; then
	echo "failed: ${failed_names[*]}"
	[ -n "$filter" ] || echo "again, one alone: ./tests/run.sh ${failed_names[0]}"
fi
if [ $((passed + failed)) -eq 0 ]; then
	echo "no step matches '$filter'" >&2
	failed=1
fi
echo "took $((SECONDS - started)) s"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
