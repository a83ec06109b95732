# SPDX-License-Identifier: Apache-2.0
# engine: the log goes on over a torn tail that was cut in the cache only.
s/^(\treturn )fdatasync\(fd\) != 0 \? AG_IO : AG_OK;/\1AG_OK;/
