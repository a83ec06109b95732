/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka-mock: librdkafka's mock cluster as a process of its own, for tests
 * where there is no Apache Kafka: kafka-mock PARTITIONS TOPIC… prints the
 * brokers' addresses; then a line of standard input is an order (down, up), and
 * its end ends it.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
serve(rd_kafka_mock_cluster_t *cluster)
{
	char line[64];

	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "down\n") == 0)
			rd_kafka_mock_broker_set_down(cluster, 1);
		else if (strcmp(line, "up\n") == 0)
			rd_kafka_mock_broker_set_up(cluster, 1);
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	char why[256];
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;

	if (argc < 3)
		return 2;
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why,
	    sizeof(why));
	if (rk == NULL)
		return 1;
	cluster = rd_kafka_mock_cluster_new(rk, 1);
	for (int i = 2; cluster != NULL && i < argc; i++)
		if (rd_kafka_mock_topic_create(cluster, argv[i], atoi(argv[1]),
		        1) != RD_KAFKA_RESP_ERR_NO_ERROR)
			return 1;
	return cluster == NULL ? 1 : serve(cluster);
}
