# SPDX-License-Identifier: Apache-2.0
# journal: the writer hears of a commit that has not happened yet.
s/^(\tif \(j->dirty)\)/\1 \&\& j->head % 5 == 0)/
