#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec java -Xmx64m -cp '/opt/kafka/libs/*' kafka.admin.TopicCommand "$@"
