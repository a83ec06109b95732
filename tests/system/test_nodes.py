# SPDX-License-Identifier: Apache-2.0
"""Three nodes on one database: a policy that one is given binds on all (D16), and who asks them one after the other is
answered while each of them, and the database, goes and comes (Q12)."""
import os
import signal
import threading
import time

import pytest

from conftest import CONFIG, Fleet, wait_for
from servers import Postgres
from test_journal_postgres import PASSWORD, sign

ALL = "permit (principal, action, resource);\n"
NO_SIGNING = ALL + 'forbid (principal, action == Aegis::Action::"key.sign", resource);\n'
PROBE_S = 10 if "CHAOS_ROUNDS" in os.environ else 30  # who is not answered in it has failed; where nothing else runs
AVAILABLE = 0.999


@pytest.fixture(scope="module")
def postgres():
    made = Postgres(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


@pytest.fixture(scope="module")
def nodes(postgres, tmp_path_factory):
    secret = tmp_path_factory.mktemp("nodes") / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    made = []
    try:
        for _ in range(3):
            made.append(Fleet(config=dict(CONFIG, journal={"kind": "postgres", "postgres": {
                "url": postgres.url, "password_file": str(secret)}})).start())
            if len(made) > 1:  # the first one has founded it
                made[-1].run("admin-token", "--out", os.path.join(made[-1].state, "admin.token"), check=0)
        yield made
    finally:
        for node in made:
            node.leave()


def test_a_policy_binds_on_three_nodes(nodes):
    """Each node has decided by the former policies before: what it kept of them must go."""
    who = [node.admin() for node in nodes]
    for n, node in enumerate(nodes):
        node.key(who[n], "key-%d" % n)

    def answers():
        return [sign(client, "key-%d" % n).status for n, client in enumerate(who)]
    for n, author in enumerate(who):
        for text, status in ((ALL, 200), (NO_SIGNING, 403)):
            author.ok("PUT", "/v1/policies/base", {"text": text})
            assert answers()[n] == status  # its own answer is the first that is bound
            wait_for(lambda: answers() == [status] * 3, 30, 0.005, "all nodes to decide by it")
            assert [answers() for _ in range(5)] == [[status] * 3] * 5
    # One that does not hear of it at once hears of it later.
    deaf = nodes[2].processes()["journal"]
    os.kill(deaf, signal.SIGSTOP)
    try:
        who[0].ok("PUT", "/v1/policies/base", {"text": ALL})
        wait_for(lambda: answers()[:2] == [200, 200], 30, what="who hears")
        assert sign(who[2], "key-2").status != 200
    finally:
        os.kill(deaf, signal.SIGCONT)
    wait_for(lambda: answers() == [200] * 3, 30, what="who did not")


class Prober(threading.Thread):
    """Asks the nodes in turn, as a client with three addresses does: a probe is answered if one of them answers it."""

    def __init__(self, nodes, key):
        super().__init__()
        self.nodes, self.key, self.made = nodes, key, {}
        self.answered, self.failed, self.refused, self.stop = 0, [], [0] * len(nodes), False

    def ask(self, n):
        try:
            if n not in self.made:
                self.made[n] = self.nodes[n].client(self.nodes[n].token(), timeout_s=4)
            got = self.made[n].get("/v1/keys/" + self.key)
            if got.status == 200:
                return True
        except (OSError, ValueError, AssertionError):
            pass
        except Exception as error:  # of http.client, by whatever name
            if type(error).__module__ != "http.client":
                raise
        self.made.pop(n, None)
        self.refused[n] += 1
        return False

    def run(self):
        first = 0
        while not self.stop:
            begun = time.monotonic()
            while not self.ask(first):
                first = (first + 1) % len(self.nodes)
                if time.monotonic() - begun > PROBE_S:
                    self.failed.append(begun)
                    break
                time.sleep(0.01)
            else:
                self.answered += 1
            first = (first + 1) % len(self.nodes)


def test_nodes_are_restarted_one_after_the_other(nodes, postgres):
    key = nodes[0].key(nodes[0].admin(), "probed")
    for node in nodes:
        wait_for(lambda: node.admin().get("/v1/keys/probed").status == 200, 30, what="the key on every node")
    prober = Prober(nodes, "probed")
    prober.start()

    def more(count):
        before = prober.answered
        wait_for(lambda: prober.answered >= before + count, 60, what="answers")
    try:
        for n, node in enumerate(nodes):
            more(50)
            before = prober.refused[n]
            node.stop()
            wait_for(lambda: prober.refused[n] > before, 30, what="the prober to find it gone")
            node.start()
        more(50)
        postgres.kill()
        more(200)
        postgres.start()
        wait_for(lambda: nodes[0].admin().post("/v1/keys", {"key_spec": "AES_256"}).status == 201, 60, what="changes again")
        wait_for(lambda: prober.answered >= 1000, 300, what="as many as are needed to tell")
    finally:
        prober.stop = True
        prober.join()
    total = prober.answered + len(prober.failed)
    print("%d of %d probes were answered; %s were not by the node that was asked" % (prober.answered, total, prober.refused))
    assert prober.answered >= AVAILABLE * total, prober.failed
    assert nodes[1].admin().ok("GET", "/v1/keys/probed")["id"] == key["id"]
