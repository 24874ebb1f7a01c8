"""Compare by hand: python3 -m tests.oracle [--groups strings,lists] [--commands N] [--seed S]"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.harness import processes
from tests.oracle.episodes import Pair, run_group
from tests.oracle.generators import GROUPS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.oracle", description=__doc__)
    parser.add_argument("--groups", default=",".join(GROUPS), help="comma separated (default: all)")
    parser.add_argument("--commands", type=int, default=10000, help="for each group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocol", type=int, choices=(2, 3), help="default: both in turn")
    parser.add_argument("--reports", type=int, default=15, help="stop a group after so many different failures")
    parser.add_argument("--own", help="command that starts the server to examine (default: this one)")
    parser.add_argument("--real", help="binary of the real server (default: redis-server)")
    options = parser.parse_args()
    if options.own:
        os.environ["REDISELECT_SERVER"] = options.own
    if options.real:
        os.environ["REDISELECT_ORACLE_BINARY"] = options.real
    if processes.real_binary() is None:
        parser.error("there is no redis-server to compare with")
    failed = False
    with (
        processes.start_real() as real,
        processes.start_own("--save", "", "--enable-debug-command", "yes") as own,
    ):
        pair = Pair(real, own)
        for group in options.groups.split(","):
            started = time.monotonic()
            protocols = (options.protocol,) if options.protocol else (2, 3)
            result = run_group(pair, group, options.commands, options.seed, options.reports, protocols)
            print(f"== {group} ({time.monotonic() - started:.1f} s)\n{result}\n", flush=True)
            failed = failed or bool(result.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
