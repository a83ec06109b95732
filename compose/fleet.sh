# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# For examples/demo.sh: the same story on the fleet of compose.yaml, which is
# made for it and goes with all that it kept.
# shellcheck source=/dev/null
. "$root/compose/containers.sh" aegis compose.yaml
[ "$plane" = rest ] || fail "PLANE=$plane: the containers serve rest"

fleet_up() {
	containers_up postgres redis aegis kafka
	echo "ready: $server"
	admin_token_of aegis admin.token
	run in_fleet exec -T aegis /usr/bin/aegis status
}
fleet_down() { run in_fleet stop -t 45 aegis >stop.out 2>&1 || fail "it did not stop: $(cat stop.out)"; }
fleet_verify() { audit_of aegis; }
