# SPDX-License-Identifier: Apache-2.0
# Debian's PostgreSQL 15, started as the usual image is: the same variables, the
# same volume, the password from a file.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN groupadd -r -g 999 postgres && useradd -r -u 999 -g postgres -d /var/lib/postgresql postgres \
 && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 \
 && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY postgres-entry /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/postgres-entry"]
CMD ["postgres"]
