# SPDX-License-Identifier: Apache-2.0
# Apache Kafka from Maven Central's jars (tests/interop/kafka.jars), with the
# places and the tool that the usual image has: its configuration is mounted on
# /mnt/shared/config.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && useradd -u 1000 appuser && install -d -o 1000 -g 1000 /var/lib/kafka/data /etc/kafka/secrets /mnt/shared/config
COPY jars /opt/kafka/libs
COPY kafka-entry kafka-topics.sh /opt/kafka/bin/
USER appuser
VOLUME /var/lib/kafka/data
CMD ["/opt/kafka/bin/kafka-entry"]
