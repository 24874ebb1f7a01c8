"""CLUSTER, ASKING, READONLY and READWRITE beside a real server that is no cluster node either."""

from __future__ import annotations

import pytest

from server.commands import cluster

# What the shortest vector of each subcommand lacks, and a few that no arity accepts.
VECTORS = [
    [*spec.name.decode().split("|"), *["0"] * (abs(spec.arity) - 1 - spec.name.count(b"|") + extra)]
    for spec in cluster.cluster.specs
    for extra in (-1, 0, 1)
    if abs(spec.arity) + extra > 1
] + [["cluster"], ["cluster", "nosuch"], ["cluster", "nosuch", "a"], ["asking"], ["readonly"], ["readwrite"]]

# Subcommands that 7.0 does not have.
ADDED_SINCE_7_0 = {"myshardid"}


@pytest.mark.parametrize("vector", VECTORS, ids=" ".join)
def test_every_subcommand_answers_as_a_server_without_cluster_support(vector, server, real_server):
    with server.wire() as own, real_server.wire() as real:
        mine, theirs = own.command(*vector), real.command(*vector)
        if vector[-1 if len(vector) < 2 else 1] in ADDED_SINCE_7_0 and b"unknown subcommand" in theirs[1]:
            pytest.skip("newer than this real server")
        assert mine == theirs
