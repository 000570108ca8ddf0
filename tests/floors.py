"""The oldest version of each dependency that setup.cfg allows; ``python -m tests.floors --install`` installs them.

    aiohttp>=3.14.4,<4    ->    aiohttp==3.14.4

A test run on them keeps the promise of setup.cfg.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["floors"]

SETUP = Path(__file__).parent.parent / "setup.cfg"

_REQUIREMENT = re.compile(r"^(?P<name>[\w.\[\]-]+)>=(?P<floor>[\w.]+)(,<[\w.]+)?$")


def floors() -> list[str]:
    """Return a pinned requirement for each one of the core.

    Raises:
        ValueError: A requirement names no oldest version.
    """
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    pinned = []
    for line in setup["options"]["install_requires"].split():
        match = _REQUIREMENT.match(line)
        if match is None:
            raise ValueError(f"{line!r} in setup.cfg names no oldest version: write it as name>=1.2,<2.")
        pinned.append(f"{match['name']}=={match['floor']}")
    return pinned


if __name__ == "__main__":
    if sys.argv[1:] == ["--install"]:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *floors()], check=True)
    else:
        sys.stdout.write("\n".join(floors()) + "\n")
