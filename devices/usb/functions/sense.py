"""Sense data: what went wrong with a SCSI command (SPC-4, 4.5 and annex D), and the host's errno as sense."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

Sense = tuple[int, int, int]
"""Sense key, additional sense code, qualifier."""

NOTHING: Final[Sense] = (0, 0, 0)
NOT_STARTED: Final[Sense] = (2, 0x04, 0x02)
NO_MEDIUM: Final[Sense] = (2, 0x3A, 0x00)
READ_ERROR: Final[Sense] = (3, 0x11, 0x00)
WRITE_ERROR: Final[Sense] = (3, 0x0C, 0x00)
TARGET_FAILURE: Final[Sense] = (4, 0x44, 0x00)
INVALID_COMMAND: Final[Sense] = (5, 0x20, 0x00)
OUT_OF_RANGE: Final[Sense] = (5, 0x21, 0x00)
INVALID_FIELD: Final[Sense] = (5, 0x24, 0x00)
NO_SUCH_UNIT: Final[Sense] = (5, 0x25, 0x00)
REMOVAL_PREVENTED: Final[Sense] = (5, 0x53, 0x02)
WRITE_PROTECTED: Final[Sense] = (7, 0x27, 0x00)
NO_SPACE: Final[Sense] = (7, 0x27, 0x07)

_BY_ERRNO: Final[Mapping[int, Sense]] = {
    errno.EROFS: WRITE_PROTECTED,
    errno.EACCES: WRITE_PROTECTED,
    errno.EPERM: WRITE_PROTECTED,
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EFBIG: NO_SPACE,
    errno.ENODEV: NO_MEDIUM,
    errno.ENXIO: NO_MEDIUM,
    errno.ENOENT: NO_MEDIUM,
    errno.ENOMEDIUM: NO_MEDIUM,
}


def sense_of(error: int, writing: bool) -> Sense:
    """The sense of a request that the image has failed with an errno."""
    if error == errno.EIO:
        return WRITE_ERROR if writing else READ_ERROR
    return _BY_ERRNO.get(error, TARGET_FAILURE)


def fixed_format(sense: Sense) -> bytes:
    """Sense data of the fixed format, 18 bytes."""
    key, code, qualifier = sense
    return bytes((0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0))
