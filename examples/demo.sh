#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent goes rogue and is stopped before anything else of it succeeds: the
# whole fleet on its defaults, the public socket, and the aegis command as a
# user would type it. Any deviation ends it with a message and a status of 1.
# With PLANE=mcp the agent uses its keys as tools, over MCP; with FLEET=FILE the
# fleet is another (compose/fleet.sh: containers). The story and the last line are
# the same.
#   [PLANE=rest|mcp] [FLEET=FILE] examples/demo.sh [BUILD]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/aegis-demo.XXXXXX")
export PATH="$build:$PATH" XDG_CONFIG_HOME="$work/home" AEGIS_STATE="$work/state"
unset AEGIS_TOKEN AEGIS_TOKEN_FILE AEGIS_SERVER AEGIS_CONTEXT AEGIS_CA_FILE 2>/dev/null || true
invoices=49
plane=${PLANE:-rest}
agent_label=claude-invoice-batch-q2
fleet_pid=
login_options=()

fail() {
	printf 'demo: %s\n' "$*" >&2
	[ ! -s "$work/fleet.log" ] || { echo "demo: the fleet's last words:" >&2; tail -n 15 "$work/fleet.log" >&2; }
	exit 1
}
leave() {
	local status=$?
	trap - EXIT
	fleet_end
	rm -rf "$work"
	exit "$status"
}
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then dim=$'\033[2m' plain=$'\033[0m'; else dim='' plain=''; fi
say() { printf '\n%s\n' "$*"; }
# Shows the command, dimmed, and runs it.
run() {
	printf '%s$ %s%s\n' "$dim" "$(sed "s#$work/##g" <<<"$*")" "$plain" >&2
	"$@"
}
# The words of a list's JSON lines.
members() { /usr/bin/python3 -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(*[row.get(m) if not "." in m else (row.get(m.split(".")[0]) or {}).get(m.split(".")[1]) for m in sys.argv[1:]])' "$@"; }

# ---- the fleet: started here, on its defaults; FLEET names a file that says otherwise

fleet_up() {
	printf '%s$ aegis up%s\n' "$dim" "$plain" >&2
	setsid aegis up --listen 127.0.0.1:0 "${up_options[@]}" >up.out 2>fleet.log &
	fleet_pid=$!
	for _ in $(seq 600); do
		grep -q '^ready: ' up.out && break
		kill -0 "$fleet_pid" 2>/dev/null || { fleet_pid=; fail "aegis up ended at its start"; }
		sleep 0.05
	done
	grep -q '^ready: ' up.out || fail "the fleet was not ready after 30 s"
	cat up.out
	server=$(sed -n 's/^ready: //p' up.out)
	mcp=$(members mcp <state/run/endpoints.json)
	run aegis status
	cp state/admin.token admin.token
}
fleet_down() {
	pids=$(aegis status --json | grep -oE '"(pid|PID)": *[0-9]+' | grep -oE '[0-9]+$' || true)
	[ -n "$pids" ] || fail "aegis status lists no process"
	run aegis down
	wait "$fleet_pid" || fail "aegis up ended with status $?"
	session=$fleet_pid
	fleet_pid=
}
fleet_end() { # however far it came
	[ -z "$fleet_pid" ] || ! kill -0 "$fleet_pid" 2>/dev/null || { kill -TERM "$fleet_pid"; wait "$fleet_pid" || true; }
}
fleet_verify() { run aegis audit verify --dir state/audit --public-key state/audit/public-key.pem; }
fleet_gone() {
	local pid left sockets
	for pid in $pids; do
		[ ! -d "/proc/$pid" ] || fail "process $pid is still there: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
	left=$(ps -o pid=,args= -s "$session" || true)
	[ -z "$left" ] || fail "processes are left: $left"
	sockets=$(find state -type s)
	[ -z "$sockets" ] || fail "sockets are left: $sockets"
	! (exec 3<>"/dev/tcp/127.0.0.1/${server##*:}") 2>/dev/null || fail "$server still answers"
	echo "no process, no socket"
}

# ---- the agent, over its plane: it signs a file, and it reaches for more

sign_rest() { aegis --token-file agent.token key sign invoice-2026 --in "$1" --out "$2"; }
attack_rest() {
	printf '{"message_b64":"%s"}' "$(printf 'all the money' | base64)" >theft.json
	run curl -sS --no-progress-meter --max-time 10 -w '%{http_code} %{num_connects} ' -o first.json -K agent.header \
		-H 'Content-Type: application/json' --data-binary @theft.json "$server/v1/keys/treasury-master/sign" \
		--next -sS --max-time 10 -w '%{http_code} %{num_connects}\n' -o second.json -K agent.header \
		-H 'Content-Type: application/json' --data-binary @theft.json "$server/v1/keys/invoice-2026/sign" >codes
}

# tools/call of sign, as 2026-07-28 says it: the fields repeat the body.
call_of() { # KEY FILE
	printf '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sign","arguments":{"key":"%s",' "$1"
	printf '"message_b64":"%s"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",' "$(base64 -w0 <"$2")"
	printf '"io.modelcontextprotocol/clientCapabilities":{}}}}'
}
mcp_fields=(-H 'Content-Type: application/json' -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call'
	-H 'Mcp-Name: sign')
# The problem of a tool's result, or of HTTP; a signature goes to a file.
result_of() { /usr/bin/python3 -c '
import base64, json, sys
answer = json.load(open(sys.argv[1]))
result = answer.get("result", {})
problem = answer if "code" in answer else json.loads(result["content"][0]["text"]) if result["isError"] else None
if problem is not None:
    json.dump(problem, open(sys.argv[1], "w"))
    sys.exit(0 if len(sys.argv) == 2 else 1)
if len(sys.argv) == 2:
    sys.exit("it succeeded")
open(sys.argv[2], "wb").write(base64.b64decode(result["structuredContent"]["signature_b64"]))' "$@"; }
sign_mcp() {
	call_of invoice-2026 "$1" >call.json
	curl -sS --max-time 10 -o answer.json -K agent.header "${mcp_fields[@]}" --data-binary @call.json "$mcp/mcp" &&
		result_of answer.json "$2"
}
attack_mcp() {
	printf 'all the money' >theft
	call_of treasury-master theft >theft.json
	call_of invoice-2026 theft >again.json
	run curl -sS --no-progress-meter --max-time 10 -w '%{http_code} %{num_connects} ' -o first.json -K agent.header \
		"${mcp_fields[@]}" --data-binary @theft.json "$mcp/mcp" \
		--next -sS --max-time 10 -w '%{http_code} %{num_connects}\n' -o second.json -K agent.header \
		"${mcp_fields[@]}" --data-binary @again.json "$mcp/mcp" >codes
	# A tool says no in its result, which HTTP brings as 200.
	read -r _ first_connects second second_connects <codes
	result_of first.json || fail "the treasury's key was used: $(cat first.json)"
	echo "$(members status <first.json) $first_connects $second $second_connects" >codes
}

case $plane in
rest) up_options=() ;;
mcp)
	up_options=(--config "$work/aegis.yaml")
	printf 'mcp: {listen: "127.0.0.1:0"}\n' >"$work/aegis.yaml"
	;;
*) fail "PLANE=$plane: rest or mcp" ;;
esac

trap leave EXIT
trap 'exit 130' INT TERM
# shellcheck source=/dev/null
[ -z "${FLEET:-}" ] || . "$root/$FLEET"
cd "$work"

say "0. The fleet, on its defaults"
fleet_up
run aegis login --token-file admin.token "${login_options[@]}"

say "1. Alice, her keys, and a credential for her agent"
run aegis principal create alice --kind human --role key-admin --role agent-issuer --role auditor
run aegis principal token alice --ttl 12h --out alice.token
run aegis login --token-file alice.token --context alice "${login_options[@]}"
run aegis key create invoice-2026 --spec EC_P256
run aegis key activate invoice-2026
run aegis key create treasury-master --spec EC_P256 --label tier=critical
run aegis key activate treasury-master
run aegis agent issue --scope key:invoice-2026:sign --ttl 1h --label $agent_label --model claude-sonnet \
	--purpose 'sign the invoices of the second quarter' --out agent.token
run aegis key public invoice-2026 --out invoice-2026.pem
grep -q 'BEGIN PUBLIC KEY' invoice-2026.pem || fail "the exported public key is not PEM"

# The token is in a 0600 file: curl's command line is for all to see.
umask 077
{ printf 'header = "Authorization: Bearer '; tr -d '\n' <agent.token; printf '"\n'; } >agent.header
umask 022

say "2. The agent signs $invoices invoices; openssl verifies each"
signed=0
for n in $(seq -w 1 $invoices); do
	printf 'Invoice 2026-%s\nAmount: %d.00 EUR\n' "$n" $((10#$n * 137)) >"invoice-$n.txt"
	if [ "$n" = 01 ]; then
		run sign_$plane "invoice-$n.txt" "invoice-$n.sig"
		run openssl dgst -sha256 -verify invoice-2026.pem -signature "invoice-$n.sig" "invoice-$n.txt"
	else
		sign_$plane "invoice-$n.txt" "invoice-$n.sig" ||
			fail "invoice $n was not signed"
		openssl dgst -sha256 -verify invoice-2026.pem -signature "invoice-$n.sig" "invoice-$n.txt" >/dev/null ||
			fail "openssl does not accept the signature of invoice $n"
	fi
	signed=$((signed + 1))
done
echo "… $signed signed, $signed verified"

say "3. The agent reaches for the treasury, and at once for an invoice again, on the same connection"
# --next is a second request on the connection of the first.
attack_$plane
read -r first first_connects second second_connects <codes
echo "$first $(members code reason_code <first.json)"
echo "$second $(members code reason_code <second.json)"
[ "$first" = 403 ] || fail "the treasury's key answered $first, not 403: $(cat first.json)"
grep -q '"scope_missing"' first.json || fail "refused, but not for its scope: $(cat first.json)"
[ "$second" = 401 ] || fail "the next request was answered $second, not 401: $(cat second.json)"
[ "$first_connects" = 1 ] && [ "$second_connects" = 0 ] || fail "that was not one connection"
status=0
run aegis --token-file agent.token key sign invoice-2026 --in invoice-01.txt --out never.sig || status=$?
[ "$status" = 3 ] || fail "the revoked agent's command ended with $status, not 3"

say "4. What happened"
run aegis audit
run aegis recommendation list

# The numbers, from the record.
aegis audit --json >audit.json
/usr/bin/python3 - "$agent_label" "$plane" >numbers <<'COUNT' || fail "the record says something else than what was seen"
import json, sys
events = [json.loads(line) for line in open("audit.json")]
mine = [e for e in events if (e["actor"] or {}).get("label") == sys.argv[1] and e["event_type"] == "request"]
refusal = [e for e in mine if e["reason_code"] == "scope_missing"]
signed = [e for e in mine if e["operation"] == "key.sign" and e["outcome"] == "allowed" and e["plane"] == sys.argv[2]]
after = [e for e in signed if refusal and e["seq"] > refusal[0]["seq"]]
found = [e for e in events if e["operation"] == "detection.scope_violation"]
done = [e for e in events if e["operation"] == "response.revoke_agent"]
for name, rows in (("refusal", refusal), ("detection", found), ("revocation", done)):
    if len(rows) != 1:
        sys.exit("demo: the record has %d %ss, not one" % (len(rows), name))
if found[0]["cause_event_id"] != refusal[0]["event_id"]:
    sys.exit("demo: the detection does not name the refusal as its cause")
elapsed_us = int(done[0]["params"]["elapsed_us"])
print(len(signed), len(refusal), "%.1f" % (elapsed_us / 1000), len(after))
COUNT
read -r recorded refused revoked_ms after <numbers
[ "$recorded" = "$signed" ] || fail "$signed were signed, but $recorded are on record"

say "   … and that nobody rewrote it"
fleet_down
fleet_verify >verify.out || { cat verify.out; fail "the audit log did not verify"; }
cat verify.out
verified=$(sed -n '$s/^audit: \([0-9]*\) events verified.*/\1/p' verify.out)
[ -n "$verified" ] || fail "aegis audit verify ended with another line than expected"

say "5. Nothing is left"
fleet_gone
[ "$after" = 0 ] || fail "$after requests of the agent succeeded after its refusal"

printf '\ndemo: %s signed, %s refused, revoked in %s ms, %s succeeded after, audit verified %s\n' \
	"$signed" "$refused" "$revoked_ms" "$after" "$verified"
