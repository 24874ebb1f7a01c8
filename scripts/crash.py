#!/usr/bin/env python3
"""Kill a server under 16 writers, and look whether everything it acknowledged is there.

    python3 scripts/crash.py [--rounds N] [--policy always|everysec] [--seed N]

Half of the kills come shortly after a BGREWRITEAOF or a BGSAVE. Exit 1 with the loss at the first one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.durability.crashing import Loss, crash  # noqa: E402

PROMISE_S = {"always": 0.0, "everysec": 2.0}
# Then one with an empty directory takes its place: each start loads all that was written before.
ROUNDS_A_SERVER = 25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--policy", choices=sorted(PROMISE_S), default="always")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    total = done = 0
    try:
        while done < arguments.rounds:
            rounds = min(ROUNDS_A_SERVER, arguments.rounds - done)
            total += crash(
                rounds,
                arguments.policy,
                arguments.seed + done,
                during=("PING", "PING", "BGREWRITEAOF", "BGSAVE"),
                grace_s=PROMISE_S[arguments.policy],
                report=lambda text: print(text, flush=True),
            )
            done += rounds
    except Loss as loss:
        print(f"LOST: {loss}")
        return 1
    print(f"{arguments.rounds} kills, {total} acknowledged writes, none lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
