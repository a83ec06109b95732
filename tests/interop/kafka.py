# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka itself, one broker in KRaft mode, for the tests of the Kafka sink. Its jars come from Maven Central,
each checked against its SHA-256 (kafka.jars), once per build folder."""
import hashlib
import os
import subprocess
import urllib.request

from conftest import BUILD, wait_for
from servers import Server, free_port
from test_sink_kafka import Mock, PARTITIONS

HERE = os.path.dirname(os.path.abspath(__file__))
JARS = os.path.join(BUILD, "interop", "kafka")
CENTRAL = "https://repo1.maven.org/maven2/"


def wanted():
    rows = [line.split() for line in open(os.path.join(HERE, "kafka.jars")) if not line.startswith("#")]
    return [(name.split(":"), digest) for name, digest in rows]


def fetch():
    """Their paths; OSError where Maven Central is not reachable."""
    os.makedirs(JARS, exist_ok=True)
    found = []
    for (group, artifact, version), digest in wanted():
        file = "%s-%s.jar" % (artifact, version)
        path = os.path.join(JARS, file)
        if not os.path.exists(path):
            url = CENTRAL + "/".join([group.replace(".", "/"), artifact, version, file])
            with urllib.request.urlopen(url, timeout=60) as answer, open(path + ".part", "wb") as out:
                out.write(answer.read())
            assert hashlib.sha256(open(path + ".part", "rb").read()).hexdigest() == digest, file
            os.rename(path + ".part", path)
        found.append(path)
    return found


class Apache(Server):
    """With the mock cluster's words: brokers, order(down | up), read(topic)."""

    def __init__(self, *topics):
        super().__init__()
        self.classes = ":".join(fetch())
        self.brokers, self.topics = "127.0.0.1:%d" % self.port, topics
        self.properties = os.path.join(self.folder, "server.properties")
        controller = free_port()
        with open(self.properties, "w") as out:
            out.write("process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:%d\n"
                      "listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d\ncontroller.listener.names=CONTROLLER\n"
                      "log.dirs=%s/logs\nnum.partitions=%d\noffsets.topic.replication.factor=1\n"
                      % (controller, self.brokers, controller, self.folder, PARTITIONS))
        subprocess.run(["java", "-cp", self.classes, "kafka.tools.StorageTool", "format", "-t", "5FjC1pZ0QWqk8bX3mJ0aAA",
                        "-c", self.properties], check=True, capture_output=True)

    def start(self):
        self.begin("java", "-Xmx512m", "-cp", self.classes, "kafka.Kafka", self.properties)
        wait_for(lambda: subprocess.run(["kcat", "-L", "-b", self.brokers, "-m", "5"], capture_output=True).returncode == 0,
                 60, 0.5, "Kafka")
        return self

    def order(self, word):
        if word == "down":
            self.kill()
        else:
            self.start()

    read = Mock.read
