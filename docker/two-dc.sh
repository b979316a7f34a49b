#!/bin/bash
# docker/two-dc.sh - two datacenters on this machine, as plain processes, and their story.
#
#   docker/two-dc.sh           installs what is missing, builds, starts two MariaDB servers
#                              and two diarchy processes, tells the story, stays up
#   docker/two-dc.sh --once    ends after the story; exit code 0 only if all of it held
#   docker/two-dc.sh --keep    leaves the data and the logs where they are at the end
#
# Private data directories under ${TMPDIR:-/tmp}; loopback only; nothing of an installed
# MariaDB is touched. Ctrl-C stops everything and removes it.
# DIARCHY_BIN=/path/to/diarchy uses that program instead of building.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
PATH=$PATH:/usr/sbin:/sbin
once=0 keep=0
for arg in "$@"; do
	case $arg in
	--once) once=1 ;;
	--keep) keep=1 ;;
	-h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "unknown option $arg; see $0 --help" >&2; exit 2 ;;
	esac
done

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
	bold="" dim="" green="" red="" plain=""
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
tell() { printf '  %s\n' "$*"; }
good() { printf '  %s✓%s %s\n' "$green" "$plain" "$*"; }

dir="" work=""
declare -A pid=()

# ---- ending ----------------------------------------------------------------------------

running() { [ -n "${pid[$1]:-}" ] && kill -0 "${pid[$1]}" 2>/dev/null; }

# Gently first, in the order that loses nothing; whoever does not end in time is killed.
stop_one() {
	local name=$1 i
	running "$name" || return 0
	kill -TERM "${pid[$name]}" 2>/dev/null || true
	for ((i = 0; i < 200; i++)); do
		running "$name" || break
		sleep 0.05
	done
	kill -KILL "${pid[$name]}" 2>/dev/null || true
	wait "${pid[$name]}" 2>/dev/null || true
	unset "pid[$name]"
}

show_logs() {
	local f
	[ -n "$dir" ] || return 0
	for f in "$dir"/east/diarchy.log "$dir"/west/diarchy.log "$dir"/east/mariadb.log \
		"$dir"/west/mariadb.log "$dir"/fibre.log; do
		[ -s "$f" ] || continue
		printf -- '--- the end of %s\n' "$f"
		tail -n 15 "$f"
	done
}

cleanup() {
	local rc=$? name
	trap - EXIT
	trap '' INT TERM HUP
	for name in diarchy-east diarchy-west fibre mariadb-east mariadb-west; do
		stop_one "$name"
	done
	if [ -n "$dir" ]; then
		if [ $keep -eq 1 ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
	fi
	[ -z "$work" ] || rm -rf "$work"
	exit "$rc"
}
trap cleanup EXIT
trap 'echo; echo "stopping"; exit 130' INT
trap 'exit 143' TERM HUP

fail() {
	{
		printf '\n%sFAILED:%s %s\n' "$red" "$plain" "$*"
		show_logs
	} >&2
	exit 1
}

# ---- what is needed ----------------------------------------------------------------------

. tests/lib/packages.sh
# shellcheck disable=SC2086
if [ -n "${DIARCHY_BIN:-}" ]; then
	dia_packages_ensure $dia_packages_run
else
	dia_packages_ensure $dia_packages_build $dia_packages_run
	work=$(mktemp -d "${TMPDIR:-/tmp}/diarchy-build.XXXXXX")
	tell "building build/diarchy"
	generator=()
	[ -f build/CMakeCache.txt ] || generator=(-G Ninja)
	if ! { cmake -S . -B build "${generator[@]}" &&
		cmake --build build --target diarchy --parallel; } >"$work/build.log" 2>&1; then
		tail -n 40 "$work/build.log" >&2
		echo "the build failed" >&2
		exit 1
	fi
	DIARCHY_BIN=$ROOT/build/diarchy
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/diarchy-two-dc.XXXXXX")
chmod 755 "$dir"
if [ ${#dir} -gt 80 ]; then
	# A unix socket's path may have 107 bytes.
	rmdir "$dir"
	dir=$(mktemp -d /tmp/diarchy-two-dc.XXXXXX)
	chmod 755 "$dir"
fi

# The documented ports where they are free, others where not.
read -r east_port west_port east_peer west_peer east_admin west_admin \
	east_db west_db fibre_east fibre_west < <(/usr/bin/python3 - \
	7306 8306 7406 8406 7506 8506 7316 8316 7416 8416 <<'PY'
import random, socket, sys
held = []
for wanted in sys.argv[1:]:
    for port in [int(wanted)] + [random.randrange(12000, 32000) for _ in range(200)]:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        held.append((port, s))
        break
    else:
        sys.exit("no free port found")
print(*(port for port, _ in held))
PY
)

declare -A id=([east]=1 [west]=2) other=([east]=west [west]=east)
declare -A port=([east]=$east_port [west]=$west_port) db=([east]=$east_db [west]=$west_db)
declare -A peer=([east]=$east_peer [west]=$west_peer)
declare -A admin=([east]=$east_admin [west]=$west_admin)
declare -A fibre=([east]=$fibre_east [west]=$fibre_west)

# ---- the ordinary client ------------------------------------------------------------------

# as_app DC SQL: an application in that datacenter; its DSN names the proxy.
as_app() {
	mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "${port[$1]}" -u app \
		-papp-secret --connect-timeout=10 -N -B shop -e "$2"
}
# as_root DC SQL: the operator, on the server itself, past the proxy.
as_root() {
	mariadb --no-defaults -S "$dir/$1/mysqld.sock" -u root -N -B -r -e "$2"
}
# run DC SQL: tell what is run and run it.
run() {
	printf '  %s%-5s%s %s%s%s\n' "$bold" "$1" "$plain" "$dim" "$2" "$plain"
	as_app "$1" "$2" || fail "$1 refused: $2"
}
# expect DC SQL ANSWER WHAT: wait until the answer is that; the wait is the replication.
expect() {
	local got="" end=$((SECONDS + 30))
	while :; do
		got=$(as_app "$1" "$2" 2>&1) || true
		[ "$got" = "$3" ] && break
		[ $SECONDS -lt $end ] || fail "$4: in $1, '$2' gave '$got', not '$3'"
		sleep 0.05
	done
	good "$4"
}
fibre_do() {
	/usr/bin/python3 tests/lib/forward.py --send "$dir/fibre.ctl" "$1" >/dev/null ||
		fail "the fibre's forwarder does not answer"
}
tables="customers, stock, orders"
checksums() { as_app "$1" "CHECKSUM TABLE $tables" | awk '{printf "%s=%s ", $1, $2}'; }
# both_equal WHAT: wait until both checksums agree, then print them.
both_equal() {
	local e="" w="" end=$((SECONDS + 60))
	while :; do
		e=$(checksums east) && w=$(checksums west) && [ -n "$e" ] && [ "$e" = "$w" ] && break
		[ $SECONDS -lt $end ] || {
			show_difference
			fail "$1: east has $e, west has $w"
		}
		sleep 0.1
	done
	tell "checksums in east: $e"
	tell "checksums in west: $w"
	good "$1"
}
show_difference() {
	local t
	for t in ${tables//,/}; do
		diff <(as_app east "SELECT * FROM $t ORDER BY 1, 2") \
			<(as_app west "SELECT * FROM $t ORDER BY 1, 2") |
			sed "s/^/  $t: /" | head -n 20 || true
	done
}

# ---- starting -----------------------------------------------------------------------------

start_mariadb() {
	local dc=$1 d=$dir/$1 user i
	user=$(id -un)
	# A temporary directory of its own: a starting server removes what it takes for
	# leftovers, another server's temporary tables in a shared one among them.
	mkdir -p "$d/data" "$d/state" "$d/tmp"
	if [ "$(id -u)" -eq 0 ]; then
		user=mysql
		chown mysql "$d" "$d/data" "$d/tmp"
	fi
	cat >"$d/my.cnf" <<CNF
# What diarchy needs of a server (\`diarchy check\` says so too), then what keeps this one small.
[mariadbd]
log_bin                  = binlog
binlog_format            = ROW
binlog_row_image         = FULL
binlog_row_metadata      = FULL
server_id                = ${id[$dc]}1
auto_increment_increment = 2
auto_increment_offset    = ${id[$dc]}
max_allowed_packet       = 128M
log_bin_trust_function_creators = ON

datadir      = $d/data
tmpdir       = $d/tmp
socket       = $d/mysqld.sock
pid_file     = $d/mysqld.pid
bind_address = 127.0.0.1
port         = ${db[$dc]}
user         = $user
skip_name_resolve
character_set_server    = utf8mb4
innodb_buffer_pool_size = 64M
performance_schema      = OFF
innodb_use_native_aio   = 0
CNF
	TMPDIR=$d/tmp mariadb-install-db --no-defaults --user="$user" --datadir="$d/data" --skip-test-db \
		--auth-root-authentication-method=normal --skip-name-resolve --force \
		>"$d/install.log" 2>&1 || { cat "$d/install.log" >&2; fail "no data directory for $dc"; }
	setsid mariadbd --defaults-file="$d/my.cnf" >>"$d/mariadb.log" 2>&1 </dev/null &
	pid[mariadb-$dc]=$!
	for ((i = 0; i < 600; i++)); do
		as_root "$dc" "DO 1" 2>/dev/null && return 0
		running "mariadb-$dc" || fail "$dc's mariadbd ended"
		sleep 0.1
	done
	fail "$dc's mariadbd does not answer"
}

# Accounts are made in each datacenter by itself: they are not data of the shop. Diarchy's
# has the least that `diarchy check` asks for.
reading="REPLICATION SLAVE, REPLICATION SLAVE ADMIN, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN, SET USER"
own="SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX"
applying="$own, REFERENCES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT"
accounts() {
	as_root "$1" "SET sql_log_bin = 0;
		CREATE USER diarchy@localhost IDENTIFIED BY 'diarchy-secret';
		GRANT $reading ON *.* TO diarchy@localhost;
		GRANT $own ON diarchy.* TO diarchy@localhost;
		GRANT $applying ON shop.* TO diarchy@localhost;
		CREATE USER app@localhost IDENTIFIED BY 'app-secret';
		CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app-secret';
		GRANT ALL ON shop.* TO app@localhost;
		GRANT ALL ON shop.* TO app@'127.0.0.1'"
}

start_diarchy() {
	local dc=$1 d=$dir/$1 o=${other[$1]}
	cat >"$d/diarchy.yaml" <<YAML
dc: {name: $dc, id: ${id[$dc]}}
listen: 127.0.0.1:${port[$dc]}
database: {socket: $d/mysqld.sock, user: diarchy, password: diarchy-secret}
peer:
  listen: 127.0.0.1:${peer[$dc]}
  secret: "a secret that both datacenters share"
  dcs:
    - {name: $o, id: ${id[$o]}, address: 127.0.0.1:${fibre[$o]}}
state_dir: $d/state
admin: 127.0.0.1:${admin[$dc]}
replicate: ["shop.*"]
YAML
	"$DIARCHY_BIN" check --config "$d/diarchy.yaml" >"$d/check.log" 2>&1 || {
		cat "$d/check.log" >&2
		fail "diarchy check finds $dc's server wrong"
	}
	setsid "$DIARCHY_BIN" run --config "$d/diarchy.yaml" >>"$d/diarchy.log" 2>&1 </dev/null &
	pid[diarchy-$dc]=$!
}
wait_diarchy() {
	local i
	for ((i = 0; i < 300; i++)); do
		if (exec 3<>"/dev/tcp/127.0.0.1/${admin[$1]}" &&
			printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 &&
			head -n 1 <&3 | grep -q ' 200') 2>/dev/null; then
			return 0
		fi
		running "diarchy-$1" || fail "$1's diarchy ended"
		sleep 0.1
	done
	fail "$1's diarchy is not ready"
}

title "Two datacenters: east and west"
for dc in east west; do
	start_mariadb $dc
	accounts $dc
done
tell "two MariaDB servers, $(mariadbd --version | sed 's/.*Ver \([^ ]*\).*/\1/'): east on port ${db[east]}, west on port ${db[west]}"
# The fibre between the proxies is a forwarder of ours, so that it can be cut without root.
setsid /usr/bin/python3 tests/lib/forward.py --control "$dir/fibre.ctl" \
	"127.0.0.1:${fibre[east]}=127.0.0.1:${peer[east]}" \
	"127.0.0.1:${fibre[west]}=127.0.0.1:${peer[west]}" >>"$dir/fibre.log" 2>&1 </dev/null &
pid[fibre]=$!
for dc in east west; do start_diarchy $dc; done
for dc in east west; do wait_diarchy $dc; done
tell "a diarchy in front of each: applications use port ${port[east]} in east, ${port[west]} in west"

# ---- the story -----------------------------------------------------------------------------

title "1. A shop is made in east, and is there in west"
as_root east "CREATE DATABASE shop"
end=$((SECONDS + 30))
until [ "$(as_root west "SHOW DATABASES LIKE 'shop'")" = shop ]; do
	[ $SECONDS -lt $end ] || fail "CREATE DATABASE shop did not reach west"
	sleep 0.05
done
run east "CREATE TABLE customers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) NOT NULL, city VARCHAR(60))"
run east "CREATE TABLE stock (item VARCHAR(20) PRIMARY KEY, price DECIMAL(8,2) NOT NULL, qty INT NOT NULL)"
run east "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, item VARCHAR(20), qty INT, FOREIGN KEY (customer) REFERENCES customers (id))"
run east "INSERT INTO stock VALUES ('umbrella', 9.90, 100), ('lantern', 24.50, 40), ('boots', 59.00, 12)"
expect west "SELECT COUNT(*) FROM stock" 3 "west has the tables and the three items"

title "2. Both datacenters take writes"
run east "INSERT INTO customers (name, city) VALUES ('Ada', 'Tallinn')"
expect west "SELECT name, city FROM customers WHERE name = 'Ada'" $'Ada\tTallinn' "written in east, seen in west"
run west "INSERT INTO customers (name, city) VALUES ('Bo', 'Lisbon')"
expect east "SELECT name, city FROM customers WHERE name = 'Bo'" $'Bo\tLisbon' "written in west, seen in east"
tell "the ids cannot collide: $(as_app east "SELECT GROUP_CONCAT(name, ' has id ', id ORDER BY id SEPARATOR ', ') FROM customers")"

title "3. The same row is changed in both at once"
tell "${dim}(the fibre holds everything back for the moment of both writes, as a long one would)${plain}"
fibre_do freeze
run east "UPDATE stock SET price = 10.90 WHERE item = 'umbrella'"
sleep 0.1
run west "UPDATE stock SET price = 8.90 WHERE item = 'umbrella'"
fibre_do heal
expect east "SELECT price FROM stock WHERE item = 'umbrella'" 8.90 "in east the later write stands: 8.90, from west"
expect west "SELECT price FROM stock WHERE item = 'umbrella'" 8.90 "in west too"
tell "the loser is not gone; diarchy.conflicts has both versions, in both datacenters:"
for dc in east west; do
	end=$((SECONDS + 30))
	until [ "$(as_root $dc "SELECT COUNT(*) FROM diarchy.conflicts" 2>/dev/null)" = 1 ]; do
		[ $SECONDS -lt $end ] || fail "$dc has no conflict record, or more than one: $(
			as_root $dc "SELECT * FROM diarchy.conflicts" 2>&1)"
		sleep 0.05
	done
	as_root $dc "SELECT CONCAT_WS('\n', CONCAT(db_name, '.', table_name, ' ', row_key, ' ', type,
			', policy ', policy, ', verdict ', verdict, ': ', reason),
		CONCAT('  ', ELT(local_origin, 'east', 'west'), ' wrote ', local_image),
		CONCAT('  ', ELT(remote_origin, 'east', 'west'), ' wrote ', remote_image))
		FROM diarchy.conflicts" | sed "s/^/    $dc: /"
	as_root $dc "SELECT local_image, remote_image FROM diarchy.conflicts" | grep -q '10\.90' ||
		fail "$dc's conflict record does not hold the losing price 10.90"
done
good "the loser, 10.90 from east, can be read in both"
both_equal "east and west are equal"

title "4. The fibre is cut"
fibre_do cut
run east "INSERT INTO customers (name, city) VALUES ('Chiara', 'Turin')"
run east "UPDATE stock SET qty = qty - 3 WHERE item = 'boots'"
run east "UPDATE stock SET price = 25.00 WHERE item = 'lantern'"
run west "INSERT INTO customers (name, city) VALUES ('Dov', 'Haifa')"
run west "INSERT INTO orders (customer, item, qty) SELECT id, 'boots', 1 FROM customers WHERE name = 'Bo'"
run west "UPDATE stock SET price = 23.00 WHERE item = 'lantern'"
for i in $(seq 1 25); do
	as_app east "INSERT INTO orders (customer, item, qty) SELECT id, 'lantern', $i FROM customers WHERE name = 'Ada'"
	as_app west "INSERT INTO orders (customer, item, qty) SELECT id, 'umbrella', $i FROM customers WHERE name = 'Bo'"
done
e=$(checksums east) w=$(checksums west)
tell "50 more orders, half in each; no write waited for the other side"
tell "checksums in east: $e"
tell "checksums in west: $w"
[ "$e" != "$w" ] || fail "the fibre was cut and yet both are equal"
[ "$(as_app east "SELECT COUNT(*) FROM customers WHERE name = 'Dov'")" = 0 ] ||
	fail "something crossed the cut fibre"
good "both keep serving, and differ"

title "5. The fibre is joined again"
fibre_do heal
both_equal "east and west are equal again"
expect east "SELECT COUNT(*) FROM orders" 51 "all 51 orders are there, each once"
expect east "SELECT GROUP_CONCAT(name ORDER BY name) FROM customers" "Ada,Bo,Chiara,Dov" "nobody is missing"
expect east "SELECT price FROM stock WHERE item = 'lantern'" 23.00 "the lantern's later price, west's 23.00, stands in both"
expect west "SELECT price, (SELECT qty FROM stock WHERE item = 'boots') FROM stock WHERE item = 'lantern'" $'23.00\t9' "and east's sale of boots has reached west"
for name in "${!pid[@]}"; do running "$name" || fail "$name is not running any more"; done

if [ $once -eq 1 ]; then
	printf '\n%sAll of it held.%s\n' "$green" "$plain"
	exit 0
fi

title "Both stay up. Try it yourself:"
for dc in east west; do
	tell "$dc: mariadb -h 127.0.0.1 -P ${port[$dc]} -u app -papp-secret shop"
	tell "      mysql://app:app-secret@127.0.0.1:${port[$dc]}/shop      status: http://127.0.0.1:${admin[$dc]}/status"
done
tell "cut the fibre:  tests/lib/forward.py --send $dir/fibre.ctl cut     (and: heal)"
tell "logs and configurations: $dir"
tell "stop: Ctrl-C"
wait -n "${pid[@]}" || true
fail "one of the processes has ended"
