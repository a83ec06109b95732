# SPDX-License-Identifier: Apache-2.0
# iam: whoever is suspended or revoked stands as before.
s/= iam_standing\(node, now_ms\);/= IAM_STANDS;/
