# SPDX-License-Identifier: Apache-2.0
# audit: a second outcome of a request is recorded like the first.
s/seen == SEEN_AGAIN \|\| //
