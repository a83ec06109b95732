# SPDX-License-Identifier: Apache-2.0
# Debian's Redis 7, which is started with its configuration as the usual image is.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/*
CMD ["redis-server"]
