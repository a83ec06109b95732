# SPDX-License-Identifier: Apache-2.0
"""Debian's own servers for the tests, on private ports and directories."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from conftest import wait_for


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """start() again after stop() or kill() finds what was stored."""

    def __init__(self):
        self.port, self.process = free_port(), None
        self.folder = tempfile.mkdtemp(prefix="aegis-server-")

    def begin(self, *words):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log, start_new_session=True)
        wait_for(lambda: answers(self.port), 60, what=words[0] + " to listen")

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def leave(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


class Nats(Server):
    def start(self):
        self.begin("nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", os.path.join(self.folder, "js"))
        return self


class Redis(Server):
    """On a socket of its own folder, with a password; it forgets everything when it ends."""

    def __init__(self, password):
        super().__init__()
        self.socket = os.path.join(self.folder, "redis.sock")
        self.password = password
        self.secret = os.path.join(self.folder, "password")
        with open(self.secret, "w") as out:
            out.write(password + "\n")
        os.chmod(self.secret, 0o600)
        with open(os.path.join(self.folder, "redis.conf"), "w") as out:
            out.write('port 0\nunixsocket %s\nunixsocketperm 700\ndir %s\nsave ""\nappendonly no\nrequirepass "%s"\n'
                      % (self.socket, self.folder, password))

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(["redis-server", os.path.join(self.folder, "redis.conf")], stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        wait_for(lambda: self.run("PING", check=False).stdout.strip() == "PONG", 60, what="Redis to listen")
        return self

    @property
    def url(self):
        return "unix:" + self.socket

    def run(self, *words, check=True):
        return subprocess.run(["redis-cli", "-s", self.socket, *words], text=True, capture_output=True, check=check,
                              timeout=30, env=dict(os.environ, REDISCLI_AUTH=self.password))


class Postgres(Server):
    """As the user postgres where we are root: it does not start as root. of: a server that this one follows, as a
    replica of all that it writes."""

    def __init__(self, password, of=None):
        super().__init__()
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = os.path.join(self.folder, "data")
        self.who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        os.chmod(self.folder, 0o755)
        secret = os.path.join(self.folder, "password")
        with open(secret, "w") as out:
            out.write(password)
        os.makedirs(self.data, 0o700)
        if self.who:
            shutil.chown(self.data, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        words = ["/initdb", "-D", self.data, "-U", "aegis", "--pwfile", secret, "-A", "scram-sha-256", "-N"] if of is None \
            else ["/pg_basebackup", "-D", self.data, "-d", of.url, "-R", "-N", "-c", "fast", "-X", "stream"]
        subprocess.run(self.who + [self.bin + words[0]] + words[1:], check=True, capture_output=True, cwd="/",
                       env=dict(os.environ, PGPASSWORD=password))
        self.password = password

    def start(self):
        self.begin(*self.who, self.bin + "/postgres", "-D", self.data, "-p", str(self.port), "-c",
                   "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        wait_for(lambda: self.run("SELECT 1", check=False).returncode == 0, 60, what="PostgreSQL")
        return self

    @property
    def url(self):
        return "postgresql://aegis@127.0.0.1:%d/postgres" % self.port

    def run(self, sql, check=True):
        return subprocess.run([self.bin + "/psql", "-X", "-A", "-t", "-q", "-d", self.url, "-c", sql], text=True,
                              capture_output=True, check=check, env=dict(os.environ, PGPASSWORD=self.password))

    def rows(self, sql):
        return [line.split("|") for line in self.run(sql).stdout.splitlines()]

    def processes(self):
        """The server and whoever it started, each a session of its own."""
        found = subprocess.run(["ps", "-o", "pid=", "--pid", str(self.process.pid), "--ppid", str(self.process.pid)],
                               text=True, capture_output=True, check=True)
        return [int(pid) for pid in found.stdout.split()]

    def leave(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # without waiting for who is connected
        super().leave()

    def kill(self):
        """All of it, as a power cut would."""
        pid = int(open(os.path.join(self.data, "postmaster.pid")).readline())
        os.kill(pid, 9)
        self.process.wait(30)
        wait_for(lambda: not answers(self.port), 30, what="it to be gone")
