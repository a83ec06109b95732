# SPDX-License-Identifier: Apache-2.0
# keys: what is deactivated or compromised still protects.
s/(KEY_OP_PROTECT\] *= *\{ \{ PRE, YES, )DEA, COM, DES, DES \}, PEN/\1YES, YES, DES, DES }, YES/
