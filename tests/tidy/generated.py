"""`python -m tests.tidy.generated`: whether the committed wire code is what the schemas say."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

from tests.tidy.sources import ROOT

SCHEMAS = "machine/wire/v1"


def generate(directory: Path) -> None:
    """Generate the wire code below a directory, as `make proto` does below the root."""
    schemas = sorted(str(path) for path in (ROOT / "proto" / SCHEMAS).glob("*.proto"))
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={directory}", f"--pyi_out={directory}", *schemas]
    if protoc.main(arguments):
        raise SystemExit("the schemas in proto/ do not compile")


def stale(directory: Path) -> list[str]:
    """The files, by name from the root, that differ from those generated below `directory`, or lack a twin."""
    fresh = {path.relative_to(directory) for path in directory.rglob("*_pb2.py*")}
    committed = {path.relative_to(ROOT) for path in (ROOT / SCHEMAS).glob("*_pb2.py*")}
    both = fresh & committed
    differing = {name for name in both if (ROOT / name).read_bytes() != (directory / name).read_bytes()}
    return sorted(str(name) for name in (fresh ^ committed) | differing)


def main() -> int:
    """Compare; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        different = stale(Path(name))
    if different:
        sys.stderr.write(f"not what proto/ says: {', '.join(different)}\nrun: make proto\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
