# SPDX-License-Identifier: Apache-2.0
# approvals: one person fewer than was asked for is enough.
s/if \(yes < need->quorum\)/if (yes + 1 < need->quorum)/
