# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# For examples/demo.sh: the same story on the fleet of compose.yaml, which is
# made for it and goes with all that it kept.
read -ra compose <<<"${COMPOSE:-docker compose}"
[ "$plane" = rest ] || fail "PLANE=$plane: the containers serve rest"
made=

in_fleet() { "${compose[@]}" -f "$root/compose/compose.yaml" "$@"; }

fleet_up() {
	[ -e "$root/compose/.env" ] || fail "type compose/init first"
	made=yes
	run in_fleet up -d >up.out 2>&1 || fail "the containers did not start: $(tail -n 5 up.out)"
	server=https://localhost:${AEGIS_PORT:-8470}
	login_options=(--server "$server" --ca-file "$root/compose/ca.pem")
	export CURL_CA_BUNDLE=$root/compose/ca.pem
	unset AEGIS_STATE # it is not on this machine
	for _ in $(seq 120); do
		curl -sS -o ready.json "$server/healthz/ready" 2>curl.err && grep -q '"status": *"ok"' ready.json && break
		sleep 0.5
	done
	grep -q '"status": *"ok"' ready.json || fail "the fleet was not ready after 60 s: $(cat ready.json curl.err)"
	echo "ready: $server"
	# podman-compose has words of its own on standard output.
	(umask 077 && in_fleet exec -T aegis /usr/bin/aegis admin-token --out - 2>token.err |
		grep -aoE '[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' | tail -n 1 >admin.token)
	run in_fleet exec -T aegis /usr/bin/aegis status
}
fleet_down() { run in_fleet stop -t 45 aegis >stop.out 2>&1 || fail "it did not stop: $(cat stop.out)"; }
fleet_verify() {
	run in_fleet run --rm --no-deps -T aegis audit verify --dir /var/lib/aegis/audit \
		--public-key /var/lib/aegis/audit/public-key.pem 2>verify.err | sed -n '/^audit: /p'
}
fleet_end() { [ -z "$made" ] || in_fleet down -v >/dev/null 2>&1 || true; }
fleet_gone() {
	in_fleet down -v >/dev/null 2>&1 || fail "the containers did not go"
	made=
	! (exec 3<>"/dev/tcp/localhost/${server##*:}") 2>/dev/null || fail "$server still answers"
	echo "no container, no volume"
}
