#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by `meson install`: the manual and the shells' completions, printed by the
# program itself.
#   scripts/install-pages.sh AEGIS
set -eu
aegis=$1
share=$MESON_INSTALL_DESTDIR_PREFIX/share
mkdir -p "$share/man/man1" "$share/bash-completion/completions" \
	"$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$aegis" doc man --out "$share/man/man1"
"$aegis" completion bash > "$share/bash-completion/completions/aegis"
"$aegis" completion zsh > "$share/zsh/site-functions/_aegis"
"$aegis" completion fish > "$share/fish/vendor_completions.d/aegis.fish"
