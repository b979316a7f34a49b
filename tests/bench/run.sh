#!/bin/bash
# tests/bench/run.sh - the measured figures, from one interleaved run.
#
#   tests/bench/run.sh [--short] [--socket] [relay] [drain] [delay]
#
# relay  sysbench point select, read-write and write-only: direct, HAProxy in TCP mode,
#        diarchy; throughput, p95, CPU per query; memory per idle connection
# drain  a backlog of BENCH_DRAIN_TXNS (200000) transactions against MariaDB's own parallel
#        replication
# delay  commit to visible at BENCH_RATE (500) writes/s against MariaDB's own replication
#
# BENCH_ROUNDS (5) BENCH_SECONDS (6) BENCH_THREADS ("8 32") BENCH_IDLE (1000)
# BENCH_DELAY_SECONDS (10) BENCH_FLUSH (2: innodb_flush_log_at_trx_commit of all servers)
# --short is one round of a few minutes. Tables on stdout, all figures in build/bench/*.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/packages.sh
# shellcheck disable=SC2086
dia_packages_ensure $dia_packages_build $dia_packages_run python3-pymysql sysbench haproxy
case " $* " in *" -h "* | *" --help "*) sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
if [ -z "${DIARCHY_BIN:-}" ]; then
	generator=()
	[ -f build/CMakeCache.txt ] || generator=(-G Ninja)
	log=$(mktemp)
	{ cmake -S . -B build "${generator[@]}" && cmake --build build --target diarchy --parallel; } \
		>"$log" 2>&1 || { tail -n 40 "$log" >&2; rm -f "$log"; exit 1; }
	rm -f "$log"
fi
export PYTHONDONTWRITEBYTECODE=1
# A thousand clients need as many descriptors, twice in the proxy.
ulimit -n "$(ulimit -Hn)"
exec /usr/bin/python3 tests/bench/bench.py "$@"
