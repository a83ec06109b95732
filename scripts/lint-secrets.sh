#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Secrets are compared in constant time (ag_secret_equal, CRYPTO_memcmp): memcmp
# and its like may not be given what is named like one. Arguments: files, folders.
if grep -rnE '\b(mem|str|strn|strcase|strncase|b)cmp\(([^;]*[^_a-z])?(ag_secret_bytes|(secret|passphrase|password|totp|otp|mac|token_text|credential|master)\b[^.(])' \
	--include='*.c' --include='*.h' "$@"; then
	echo "lint: a secret is compared in variable time; use ag_secret_equal" >&2
	exit 1
fi
