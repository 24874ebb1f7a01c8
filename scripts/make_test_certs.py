#!/usr/bin/env python3
"""Make a certificate authority for tests, and certificates of a server and a client that it has signed.

    python3 scripts/make_test_certs.py DIRECTORY

writes ca.crt, ca.key, server.crt, server.key, client.crt, client.key, locked.key (the server's key, encrypted with
the password `secret`) and other.crt, other.key (a client that nobody has signed). Needs the `openssl` program; the
certificates are for this machine and one day: never use them for anything else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PASSWORD = "secret"
CURVE = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]


def run(*arguments: str, directory: Path) -> None:
    finished = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, timeout=60)
    if finished.returncode:
        raise RuntimeError("openssl %s: %s" % (" ".join(arguments), finished.stderr))


def make(directory: Path) -> Path:
    """Make all files; raises FileNotFoundError without the `openssl` program."""
    if shutil.which("openssl") is None:
        raise FileNotFoundError("the openssl program is not on the path")
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("ca", "server", "client", "other"):
        run("genpkey", *CURVE, "-out", f"{name}.key", directory=directory)
    for name in ("ca", "other"):
        run("req", "-x509", "-new", "-key", f"{name}.key", "-days", "1", "-subj", f"/CN=test {name}",
            "-out", f"{name}.crt", directory=directory)  # fmt: skip
    (directory / "names.cnf").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        run("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr", directory=directory)
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "names.cnf", "-out", f"{name}.crt", directory=directory)  # fmt: skip
    locking = ["-aes256", "-passout", f"pass:{PASSWORD}"]
    run("pkey", "-in", "server.key", *locking, "-out", "locked.key", directory=directory)
    return directory


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        print("written to", make(Path(sys.argv[1])))
    except FileNotFoundError as error:
        sys.exit(str(error))
