"""What the wheel holds, which setup.cfg cannot say.

In the repository server, protocol and storage are top-level packages. Installed under these names they would clash
with other projects' own, so the wheel holds one package, `rediselect`, with the three in a folder of it that only the
process of the server puts on its path (scripts/package/rediselect/parts.py).
"""

from setuptools import find_packages, setup

PARTS = ("server", "protocol", "storage")
FOLDER = "rediselect._packages."

setup(
    packages=["rediselect"] + [FOLDER + name for name in find_packages() if name.partition(".")[0] in PARTS],
    package_dir={"rediselect": "scripts/package/rediselect", **{FOLDER + name: name for name in PARTS}},
    package_data={"rediselect": ["py.typed"], FOLDER + "server.scripting": ["*.lua"]},
)
