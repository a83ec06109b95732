# SPDX-License-Identifier: Apache-2.0
# engine: a change whose outcome was lost is not delivered again.
s/^(\tif \()!(record->has_outcome\))/\1\2/
