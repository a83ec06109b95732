#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What Aegis needs of Debian 12, by purpose, in one place. Installs what is
# missing (root), or says what to type.
#   scripts/deps.sh [build|run|test|chaos|interop|image|bench|check]…
set -euo pipefail

declare -A packages=(
	[build]="gcc make meson ninja-build pkg-config protobuf-c-compiler
		libc6-dev libzmq3-dev libczmq-dev libprotobuf-c-dev liblmdb-dev libevent-dev
		libhttp-parser-dev libjansson-dev libyaml-dev libcurl4-openssl-dev
		libssl-dev libsodium-dev libseccomp-dev libcmocka-dev
		librdkafka-dev libpq-dev libnats-dev libhiredis-dev libfido2-dev"
	[run]="openssl curl python3 procps tzdata"
	[test]="protobuf-compiler python3-pytest python3-pytest-xdist python3-requests python3-yaml python3-jwt
		python3-cryptography python3-zmq python3-protobuf
		git groff mandoc shellcheck zsh fish kcat postgresql nats-server redis-server systemd"
	[image]="libzmq5 libprotobuf-c1 liblmdb0 libevent-core-2.1-7 libevent-openssl-2.1-7 libhttp-parser2.9
		libjansson4 libyaml-0-2 libcurl4 libssl3 libsodium23 libseccomp2 librdkafka1 libpq5 libnats3.4 libhiredis0.14 libfido2-1
		ca-certificates"
	[bench]="wrk python3"
	[chaos]="faketime iptables iproute2"
	[interop]="openjdk-17-jre-headless kcat wrk python3-venv testssl.sh"
	[check]="clang-14 llvm-14 libclang-rt-14-dev cppcheck gcovr"
)

missing=()
for purpose in "${@:-build}"; do
	[ -n "${packages[$purpose]:-}" ] || { echo "deps: no such purpose: $purpose" >&2; exit 2; }
	for package in ${packages[$purpose]}; do
		status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || missing+=("$package")
	done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: these packages are missing; please type:" >&2
	echo "    sudo apt-get install -y ${missing[*]}" >&2
	exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}
echo "installing ${#missing[@]} packages: ${missing[*]}"
# A fresh machine may have no package lists yet, or old ones.
apt install -y --no-install-recommends "${missing[@]}" ||
	{ echo "fetching package lists"; apt update && apt install -y --no-install-recommends "${missing[@]}"; } ||
	{ cat "$log" >&2; echo "deps: apt-get failed" >&2; exit 1; }
echo "installed"
