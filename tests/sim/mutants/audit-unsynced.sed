# SPDX-License-Identifier: Apache-2.0
# audit: an answer leaves before its event is durable, now and then.
s/if \(ag_seglog_pending\(a->log\)\) \{/if (ag_seglog_pending(a->log) \&\& begun_us % 7 == 0) {/
