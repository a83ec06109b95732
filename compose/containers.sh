# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# For the demonstrations on containers: what both compose files are driven with.
# Wants `root`, `fail` and `run` of who sources it, and which file of compose/ it is.
read -ra compose <<<"${COMPOSE:-docker compose}"
engine=${ENGINE:-docker}
healthy_s=${HEALTHY_S:-60} # from up to all healthy, at most; a busy machine needs more
project=$1
file=$root/compose/$2
made=

in_fleet() { "${compose[@]}" -p "$project" -f "$file" "$@"; }
container_of() {
	"$engine" ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"
}
# By its own health check: docker runs it; where nobody does (podman without systemd), it is run here.
healthy() {
	local id
	id=$(container_of "$1") && [ -n "$id" ] || return 1
	[ "$("$engine" inspect -f '{{.State.Health.Status}}' "$id" 2>/dev/null)" = healthy ] ||
		"$engine" healthcheck run "$id" >/dev/null 2>&1
}
containers_up() { # SERVICE...
	local begin=$SECONDS service
	[ -e "$root/compose/.env" ] || fail "type compose/init first"
	made=yes
	run in_fleet up -d >up.out 2>&1 || fail "the containers did not start: $(tail -n 5 up.out)"
	for service in "$@"; do
		until healthy "$service"; do
			[ $((SECONDS - begin)) -lt "$healthy_s" ] ||
				fail "$service is not healthy after $healthy_s s: $("$engine" logs "$(container_of "$service")" 2>&1 | tail -n 5)"
			sleep 1
		done
	done
	echo "healthy after $((SECONDS - begin)) s: $*"
	server=https://localhost:${AEGIS_PORT:-8470}
	login_options=(--server "$server" --ca-file "$root/compose/ca.pem")
	export CURL_CA_BUNDLE=$root/compose/ca.pem
	unset AEGIS_STATE # it is not on this machine
}
# podman-compose has words of its own on standard output.
admin_token_of() { # SERVICE FILE
	(umask 077 && in_fleet exec -T "$1" /usr/bin/aegis admin-token --out - 2>token.err |
		grep -aoE '[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' | tail -n 1 >"$2")
	[ -s "$2" ] || fail "no credential of an admin: $(cat token.err)"
}
audit_of() { # SERVICE, which is stopped
	run in_fleet run --rm --no-deps -T --entrypoint /usr/bin/aegis "$1" audit verify --dir /var/lib/aegis/audit \
		--public-key /var/lib/aegis/audit/public-key.pem 2>verify.err | sed -n '/^audit: /p'
}
fleet_end() { [ -z "$made" ] || in_fleet down -v >/dev/null 2>&1 || true; }
fleet_gone() {
	in_fleet down -v >/dev/null 2>&1 || fail "the containers did not go"
	made=
	! (exec 3<>"/dev/tcp/localhost/${server##*:}") 2>/dev/null || fail "$server still answers"
	echo "no container, no volume"
}
