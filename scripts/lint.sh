#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Zero findings, or it fails. The codecs are generated and not ours.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
mkdir -p "$build/cppcheck"
cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
	--error-exitcode=1 -j2 --cppcheck-build-dir="$build/cppcheck" \
	--suppressions-list=scripts/cppcheck.txt --library=scripts/cppcheck.cfg -D_GNU_SOURCE -DAG_VERSION='""' -DAG_MANUAL_DATE='""' \
	-I include -I proto -I engine -I bin \
	bin broker engine actors planes policy rot sinks
# Secrets are compared in constant time (ag_secret_equal, CRYPTO_memcmp): memcmp
# and its like may not be given what is named like one.
if grep -rnE '\b(mem|str|strn|strcase|strncase|b)cmp\([^;]*(ag_secret_bytes|[^_a-z](secret|passphrase|password|totp|otp|mac|wanted_mac|token_text|credential|master)\b[^.(])' \
	--include='*.c' --include='*.h' bin broker engine actors planes policy rot sinks include; then
	echo "lint: a secret is compared in variable time; use ag_secret_equal" >&2
	exit 1
fi
echo "lint: nothing found"
