"""Run a DICOM node: films come by C-STORE, reports go to the peer that the configuration names for their sender."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser
from hipdet.workflows.dicom_node import DicomNode, NodeConfig

EXAMPLES = """examples:
  hipdet dicom-node node.json                  run until it is terminated

docs/guide/dicom_node.md explains the configuration, the folder, the health line and a systemd unit.  Not for diagnosis.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the node until SIGTERM or SIGINT."""
    parser = command_parser("dicom-node", __doc__, EXAMPLES)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="JSON file")
    node = DicomNode(NodeConfig(parser.parse_args(argv).config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # at once: all that counts is on the disk
    node.run()
