# tests/lib/packages.sh - Debian packages the project needs, in one place; sourced.
#
# dia_packages_build   what `cmake --build` needs
# dia_packages_run     what two real datacenters need on top
# dia_packages_test    what tests/run.sh and tests/bench need on top
# dia_packages_ensure  installs those of its arguments that are missing; quiet if none is
dia_packages_build="cmake ninja-build pkg-config gcc libc6-dev re2c protobuf-c-compiler
	libmariadb-dev libuv1-dev libssl-dev libzstd-dev libcyaml-dev
	libyaml-dev uthash-dev libprotobuf-c-dev libmicrohttpd-dev libjansson-dev zlib1g-dev libcmocka-dev"
dia_packages_run="mariadb-server mariadb-client python3"
dia_packages_test="git ca-certificates clang clang-format libclang-rt-14-dev ccache codespell
	python3-pytest python3-pymysql sysbench haproxy curl procps"

dia_packages_ensure() {
	local missing="" p sudo=""
	for p in "$@"; do
		dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed ||
			missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "missing packages:$missing" >&2
			echo "install them as root: apt-get install$missing" >&2
			return 1
		}
		sudo="sudo"
	fi
	echo "installing:$missing"
	# mariadb-server's own instance is not ours to start: every server here is private.
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 update </dev/null
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
		-o Dpkg::Options::=--force-confold install --no-install-recommends $missing </dev/null
}
