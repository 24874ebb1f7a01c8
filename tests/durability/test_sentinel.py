"""Real sentinels watch this server and real ones, in every mix, and hand over when the master is killed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.wire import Closed, Timeout, Wire

PATIENCE_S = 40.0
NAME = "mymaster"
# How often sentinels look round; as shipped INFO is asked every ten seconds, which were most of the time of a test.
PERIODS_MS = {"INFO-PERIOD": 500, "PUBLISH-PERIOD": 500, "PING-PERIOD": 250, "ASK-PERIOD": 250}


def fields(server: processes.Server) -> dict[str, str]:
    with server.wire() as wire:
        lines = wire.ask("INFO", "replication").decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def value(server: processes.Server, key: str):
    with server.wire() as wire:
        return wire.ask("GET", key)


def until(check, what: str):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = check()
        except (OSError, Closed, Timeout):
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


def tells_its_role(server: processes.Server) -> bool:
    """Whether the configuration file names the master that the server follows, if it follows one."""
    text = (server.directory / "redis.conf").read_text().replace('"', "")
    master = fields(server).get("master_port")
    return "replicaof" not in text if master is None else f"replicaof 127.0.0.1 {master}" in text


class Sentinels:
    """Three sentinels that watch one master."""

    def __init__(self, master_port: int) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self.ports: list[int] = []
        self.running: list[subprocess.Popen] = []
        for number in range(3):
            port = processes.free_port()
            path = self.directory / f"{number}.conf"
            path.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self.directory}\n"
                f"sentinel monitor {NAME} 127.0.0.1 {master_port} 2\n"
                f"sentinel down-after-milliseconds {NAME} 2000\n"
                f"sentinel failover-timeout {NAME} 4000\n"
                f"sentinel parallel-syncs {NAME} 2\n"
            )
            with open(self.directory / f"{number}.log", "wb") as log:
                self.running.append(subprocess.Popen(["redis-sentinel", str(path)], stdout=log, stderr=log))
            self.ports.append(port)
        for port in self.ports:
            until(lambda port=port: self.look_round_more_often(port), "the sentinel answers")

    def look_round_more_often(self, port: int) -> bool:
        words = [str(word) for pair in PERIODS_MS.items() for word in pair]
        with Wire(("127.0.0.1", port), timeout_s=5) as wire:
            answer = wire.ask("SENTINEL", "DEBUG", *words)
        return answer == b"OK" or answer.startswith(b"-")  # before 7.0 they have no such command

    def ask(self, *command):
        with Wire(("127.0.0.1", self.ports[0]), timeout_s=5) as wire:
            return wire.ask(*command)

    def master_port(self) -> int:
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def is_complete(self) -> bool:
        """Whether the first one knows both replicas and the other sentinels."""
        found = self.ask("SENTINEL", "MASTER", NAME)
        known = dict(zip(found[::2], found[1::2]))
        return known[b"num-slaves"] == b"2" and known[b"num-other-sentinels"] == b"2" and known[b"flags"] == b"master"

    def replicas_are_well(self) -> bool:
        found = self.ask("SENTINEL", "REPLICAS", NAME)
        states = [dict(zip(one[::2], one[1::2])) for one in found]
        return len(states) == 2 and all(one[b"flags"] == b"slave" for one in states)

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def start(kind: str, directory: Path, *args):
    """A server with a configuration file, which sentinels have rewritten."""
    directory.mkdir(exist_ok=True)
    path = directory / "redis.conf"
    path.write_text("save ''\nrepl-diskless-sync-delay 0\n".replace("''", '""'))
    if kind == "own":
        return processes.Server(processes.own_command(), [str(path), *args], directory=directory)
    return processes.Server([processes.real_binary()], [str(path), *args], directory=directory)


MIXES = [("own", "own", "own"), ("own", "real", "real"), ("real", "own", "own"), ("own", "own", "real")]


@pytest.mark.parametrize("kinds", MIXES, ids="-".join)
def test_sentinels_promote_a_replica_when_the_master_is_killed(kinds, tmp_path):
    redis = pytest.importorskip("redis")
    if shutil.which("redis-sentinel") is None or processes.real_binary() is None:
        pytest.skip("no redis-sentinel")
    servers = []
    sentinels = None
    try:
        servers.append(start(kinds[0], tmp_path / "0"))
        for place in (1, 2):
            servers.append(
                start(kinds[place], tmp_path / str(place), "--replicaof", f"127.0.0.1 {servers[0].port}")
            )
        by_port = {server.port: server for server in servers}
        sentinels = Sentinels(servers[0].port)
        until(sentinels.is_complete, "the sentinels know everybody")
        until(sentinels.replicas_are_well, "both replicas are well")
        application = redis.sentinel.Sentinel([("127.0.0.1", port) for port in sentinels.ports], socket_timeout=2)
        client = application.master_for(NAME, socket_timeout=2)
        for number in range(100):
            client.set(f"key:{number}", number)
        assert client.execute_command("WAIT", 2, 5000) == 2
        servers[0].kill()
        until(lambda: sentinels.master_port() != servers[0].port, "the sentinels agree on another master")
        chosen = by_port[sentinels.master_port()]

        def writes() -> bool:
            try:
                return bool(client.set("after", "1"))
            except redis.RedisError:
                return False

        until(writes, "the application writes again")
        other = next(server for server in servers[1:] if server is not chosen)
        # Sentinels close every client's connection of a server whose role they change.
        until(lambda: fields(other).get("master_port") == str(chosen.port), "the other replica follows")
        until(lambda: fields(other)["master_link_status"] == "up", "its link is up")
        assert fields(chosen)["role"] == "master"
        until(lambda: value(other, "after") == b"1", "it has the new write")
        servers[0].start()
        until(lambda: fields(servers[0])["role"] == "slave", "the old master is made a replica")
        until(lambda: fields(servers[0])["master_link_status"] == "up", "its link is up")
        assert value(servers[0], "after") == b"1"
        assert value(servers[0], "key:99") == b"99"
        # On a machine that stalls, sentinels may have changed their minds once more between two looks.
        until(lambda: all(map(tells_its_role, servers)), "what they are stands in their files, too")
        client.close()
    finally:
        if sentinels is not None:
            sentinels.stop()
        processes.end_all(servers)
