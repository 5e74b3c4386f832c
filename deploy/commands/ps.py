"""`dejavm ps`: the machines that are up and their processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deploy.naming import add_name, name_of
from deploy.reading_options import add_json
from deploy.reporting import put, say
from deploy.supervision.place import everybody, find
from deploy.supervision.report import lines, plain, report
from machine.errors import EXIT_DONE

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_name(parser, "all")
    add_json(parser, "a list of machines, each with its nodes")


def run(options: argparse.Namespace) -> int:
    """List them."""
    name = name_of(options)
    machines = [find(name, "dejavm ps")] if name is not None else everybody()
    reports = [report(places) for places in machines]
    if options.json:
        put(json.dumps([plain(found) for found in reports]))
    elif not reports:
        say("no machine is up here")
    else:
        put("\n\n".join("\n".join(lines(found)) for found in reports))
    return EXIT_DONE
