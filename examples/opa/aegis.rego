# SPDX-License-Identifier: Apache-2.0
# What Aegis asks OPA, by example: opa run --server aegis.rego, and in Aegis
# opa.url: http://127.0.0.1:8181/v1/data/aegis/allow
# docs/policy.md says what is in the input.
package aegis

import rego.v1

default allow := false

allow if "admin" in input.principal.roles

allow if {
	input.resource.type == "key"
	input.action in {"key.read", "key.public-key"}
}

allow if {
	input.action == "key.sign"
	input.resource.labels.env == "test"
}

# Whoever asks is the first of the chain, the person at the root its last.
allow if {
	input.action == "key.rotate"
	input.principal.chain[0].kind == "human"
	input.resource.labels.team == "a"
}
