"""Label films in the browser: two drags and a key for two hips, or a key alone where a model's proposals are right."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Project
from hipdet.annotate.labels import LabelStore, read_old_labels
from hipdet.annotate.proposals import FilmProposals, cache_name, load_detector
from hipdet.annotate.server import bind, serve
from hipdet.annotate.session import Session
from hipdet.cli.main import command_parser
from hipdet.core.errors import DatasetError, HipdetError

EXAMPLES = """examples:
  hipdet annotate films                                          two hips a film, into films/labels/annotator.json
  hipdet annotate films --annotator alice                        into films/labels/alice.json
  hipdet annotate films --labels old.xml --annotator alice       correct labels in any format that hipdet convert reads
  hipdet annotate films --model default                          a detector proposes, you accept or correct
  hipdet annotate chest --rois 3 --classes heart lung --free-shape

Every change is on the disk before the page says "saved".  Press ? in the page for the keys.  Then: hipdet agree for two
annotators, hipdet convert folder, hipdet split, hipdet train (docs/annotate.md).
"""
SHOWN_NOTES = 20


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("annotate", __doc__, EXAMPLES)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="of films: JPEG, PNG, TIFF, BMP, DICOM")
    add("--rois", default="2", metavar="N|any", help="ROIs of a finished film")
    add("--classes", nargs="+", default=["hip"], help="names in order (default: hip)")
    add("--free-shape", action="store_true", help="boxes need not be square")
    add("--annotator", default="annotator", metavar="NAME", help="whose labels these are")
    add("--labels", type=Path, help="labels made elsewhere, for films that have none here yet")
    add("--model", metavar="FILE|default", help="whose detections are proposed")
    add("--out", type=Path, help="folder of the labels (default: FOLDER/labels)")
    add("--port", type=int, default=0, help="of the page (default: a free one)")
    add("--no-browser", action="store_true", help="only print the address")
    return parser.parse_args(argv)


def build_project(args: argparse.Namespace) -> Project:
    """The task."""
    if args.rois != "any" and not (args.rois.isdigit() and 1 <= int(args.rois) <= 50):
        raise DatasetError(f"--rois {args.rois}: expected a number from 1 to 50, or any")
    rois = None if args.rois == "any" else int(args.rois)
    return Project(tuple(args.classes), rois, args.free_shape, args.annotator, args.folder.resolve().name)


def open_session(args: argparse.Namespace) -> Session:
    """Films, labels and proposals."""
    project, out = build_project(args), args.out or args.folder / "labels"
    films = FilmFolder(args.folder, project.source)
    detect = load_detector(args.model, project) if args.model else None
    store = LabelStore(out, project, {name: each.patient for name, each in films.candidates.items()})
    try:
        if args.labels:
            old = read_old_labels(args.labels, films, project)
            taken = store.take_over(old.states)
            print(f"{args.labels}: labels of {len(taken)} films taken over, to be checked")
            print("\n".join(f"  {note}" for note in old.notes[:SHOWN_NOTES]), end="\n" if old.notes else "")
            if len(old.notes) > SHOWN_NOTES:
                print(f"  ... and {len(old.notes) - SHOWN_NOTES} more")
        proposals = FilmProposals(detect, films, project, out / cache_name(args.model, project)) if detect else None
        return Session(films, store, proposals)
    except BaseException:
        store.close()
        raise


def counts(session: Session) -> str:
    """How many films have which status."""
    states = [film["status"] for film in session.overview()["films"]]
    order = ("done", "incomplete", "unchecked", "excluded", "new")
    return ", ".join(f"{states.count(status)} {status}" for status in order if status in states)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl+C."""
    args = _parse_arguments(argv)
    session = open_session(args)
    try:
        server, address = bind(session, args.port)

        def ready() -> None:
            print(f"{len(session.films.candidates)} films: {counts(session)}")
            print(f"labels: {session.store.files.coco}")
            print(f"open {address}   (Ctrl+C ends)", flush=True)
            if not args.no_browser:
                webbrowser.open(address)

        serve(server, ready)
        print(f"\n{counts(session)}")
        for name, reason in session.films.unreadable.items():
            print(f"can't be read: {name}: {reason}")
    finally:
        session.close()
    if session.store.files.fault:
        raise HipdetError(f"{session.store.files.fault}, and the next start writes it anew")
