"""Label films in the browser: two drags and one key for two hips, or one key if a model's proposals are right."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Project
from hipdet.annotate.labels import LabelStore, read_old_labels
from hipdet.annotate.proposals import Detect, FilmProposals, cache_name, load_detector
from hipdet.annotate.server import bind, serve
from hipdet.annotate.session import Session
from hipdet.cli.main import class_name, command_parser, printable
from hipdet.core.errors import DatasetError, StorageError
from hipdet.core.files import name_of

EXAMPLES = """examples:
  hipdet annotate films                                          two hips per film, into films/labels/annotator.json
  hipdet annotate films --annotator alice                        into films/labels/alice.json
  hipdet annotate films --labels old.xml --annotator alice       correct labels of any format that hipdet convert reads
  hipdet annotate films --model default                          the bundled model proposes, you accept or correct
  hipdet annotate chest --rois 3 --classes heart lung --free-shape

Every change is in films/labels/NAME.journal before the page says "saved", and soon in NAME.json, from which a lost journal is
restored.  Press ? on the page to see the keys.  Exit status: 3 if files couldn't be written.  Next: hipdet agree (with two
annotators), hipdet convert folder, hipdet split, hipdet train; see docs/guide/label.md.
"""
SHOWN_NOTES = 20


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("annotate", __doc__, EXAMPLES)
    add = parser.add_argument
    add("folder", type=Path, metavar="FILMS", help="folder of films: JPEG, PNG, TIFF, BMP, GIF, WEBP, DICOM")
    add("--rois", default="2", metavar="N|any", help="number of ROIs on a finished film")
    add(
        "--classes", nargs="+", type=class_name, default=["hip"], metavar="CLASS",
        help="class names in order (default: hip)",
    )  # fmt: skip
    add("--free-shape", action="store_true", help="allow boxes that aren't square")
    add("--annotator", default="annotator", metavar="NAME", help="name of the annotator and of the label files")
    add("--labels", type=Path, metavar="PATH", help="label file or folder to import, for films without labels")
    add("--model", metavar="FILE|default", help="ONNX model that proposes ROIs; default is the bundled one")
    add("--out", type=Path, metavar="FOLDER", help="folder of the labels (default: FILMS/labels)")
    add("--port", type=int, default=0, metavar="N", help="port of the page (default: a free one)")
    add("--no-browser", action="store_true", help="only print the address of the page")
    return parser.parse_args(argv)


def build_project(args: argparse.Namespace) -> Project:
    """Build the annotator's task from the arguments."""
    if args.rois != "any" and args.rois not in map(str, range(1, 51)):
        raise DatasetError(f"--rois {args.rois}: expected a number from 1 to 50, or any")
    rois = None if args.rois == "any" else int(args.rois)
    return Project(tuple(args.classes), rois, args.free_shape, args.annotator, name_of(args.folder.resolve().name))


def open_session(args: argparse.Namespace, detect: Detect | None = None) -> Session:
    """Open the films and the labels, import labels, and start the proposals, of `detect` or else of the model."""
    project, out = build_project(args), args.out or args.folder / "labels"
    films = FilmFolder(args.folder, project.source)
    detect = detect or (load_detector(args.model, project) if args.model else None)
    old = read_old_labels(args.labels, films, project) if args.labels else None
    store = LabelStore(out, project, {name: each.patient for name, each in films.candidates.items()}, films)
    try:
        for note in [*films.passed.lines(), *store.notes]:
            print(printable(f"note: {note}"))
        if old:
            taken = store.take_over(old.states)
            print(printable(f"{args.labels}: labels of {len(taken)} films imported, to be checked"))
            for note in old.notes[:SHOWN_NOTES]:
                print(printable(f"  {note}"))
            if len(old.notes) > SHOWN_NOTES:
                print(f"  ... and {len(old.notes) - SHOWN_NOTES} more")
        proposals = FilmProposals(detect, films, project, out / cache_name(args.model, project)) if detect else None
        return Session(films, store, proposals)
    except BaseException:
        store.close()
        raise


def counts(session: Session) -> str:
    """How many films have each status, for the terminal."""
    states = [film["status"] for film in session.overview()["films"]]
    order = ("done", "incomplete", "unchecked", "excluded", "new")
    return ", ".join(f"{states.count(status)} {status}" for status in order if status in states)


def main(argv: Sequence[str] | None = None, detect: Detect | None = None) -> None:
    """Serve the page until Ctrl+C; `detect` has found what the model finds, if it is given."""
    args = _parse_arguments(argv)
    session = open_session(args, detect)
    try:
        server, address = bind(session, args.port)

        def ready() -> None:
            print(f"{len(session.films.candidates)} films: {counts(session)}")
            print(printable(f"labels: {session.store.files.coco}"))
            print(f"open {address}   (Ctrl+C ends)", flush=True)
            if not args.no_browser:
                webbrowser.open(address)

        serve(server, ready)
        print(f"\n{counts(session)}")
        for name, reason in session.films.unreadable.items():
            print(printable(f"{name}: can't be read: {reason}"))
    finally:
        session.close()
    faults = [fault for fault in (session.store.fault, session.store.files.fault) if fault]
    if faults:
        raise StorageError(f"{'; '.join(faults)}; start hipdet annotate again to write the files")
