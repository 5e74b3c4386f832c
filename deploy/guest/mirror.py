"""Which archive the host itself installs from, read from what its apt says.

Lives here: choosing among apt's answers.
Never here: running apt, or the name of any host.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

# What to ask `apt-get indextargets` for; the answer is one line per index, split at tabs.
TARGET_FORMAT: Final = "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)"

RELEASE_FILE: Final = re.compile(r"^'(?P<site>[^']+?)/dists/(?P<release>[^'/]+)/InRelease'", re.MULTILINE)
# The suites beside a release; their archive is not always the one with the releases.
SIDE_SUITES: Final = (
    "-security",
    "-updates",
    "-backports",
    "-backports-sloppy",
    "-proposed-updates",
)


@dataclass(frozen=True, slots=True)
class Target:
    """One package index of the host's apt."""

    site: str
    release: str
    component: str
    origin: str
    label: str


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read the answer of `apt-get indextargets`; lines of another shape are not ours."""
    rows = [line.split("\t") for line in text.splitlines()]
    return tuple(Target(*row) for row in rows if len(row) == len(Target.__slots__))


def debian_sites(targets: Iterable[Target]) -> tuple[str, ...]:
    """Return the sites with Debian's own main component, those with a whole release first.

    The label sets it apart from the security and backports archives, also of origin Debian.
    """
    ours = [
        target
        for target in targets
        if (target.origin, target.label, target.component) == ("Debian", "Debian", "main")
        and not target.site.startswith("cdrom:")
    ]
    ours.sort(key=lambda target: target.release.endswith(SIDE_SUITES))
    return tuple(dict.fromkeys(target.site.rstrip("/") for target in ours))


def configured_sites(text: str) -> tuple[str, ...]:
    """Return the sites of whole releases named by `apt-get --print-uris update`.

    This is for a host that has never fetched its indexes, where apt cannot say whose they are.  A
    site of another distribution does no harm: it has no release of that name signed by Debian.
    """
    found = [
        unquote(match["site"]) for match in RELEASE_FILE.finditer(text) if not match["release"].endswith(SIDE_SUITES)
    ]
    return tuple(dict.fromkeys(found))
