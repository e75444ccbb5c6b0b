"""A session of one annotator: films, labels, proposals, and what the page gets of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import REASONS, Entry, parse_state
from hipdet.annotate.labels import LabelStore, StaleRevision
from hipdet.annotate.proposals import FilmProposals
from hipdet.core.errors import DatasetError
from hipdet.core.records import is_whole, shown


class Session:
    """What the server of the page serves.

    Attributes:
        films: The folder.
        store: The labels.
        proposals: Proposals of a model; None without a model.
    """

    def __init__(self, films: FilmFolder, store: LabelStore, proposals: FilmProposals | None = None) -> None:
        self.films, self.store, self.proposals = films, store, proposals

    def overview(self) -> dict[str, Any]:
        """The task and all films, in the order of their names."""
        project = self.store.project
        entries = self.store.entries()
        found = {name: entries.get(name, Entry()) for name in self.films.candidates}
        return {
            "classes": project.classes,
            "rois": project.rois,
            "freeShape": project.free_shape,
            "annotator": project.annotator,
            "reasons": REASONS,
            "files": self.store.files.coco.name,
            "films": [
                {
                    "name": name,
                    "status": entry.present.status(project.rois),
                    "unsure": entry.state.unsure,
                    "replaced": entry.replaced,
                }
                for name, entry in found.items()
            ],
            **self.news(),
        }

    def news(self) -> dict[str, Any]:
        """What changes without the page: proposals, files that can't be written, films that can't be read."""
        self.store.check()
        found = self.proposals.all() if self.proposals else {}
        rois = self.store.project.rois
        faults = self.store.fault, self.store.files.fault, self.proposals and self.proposals.fault
        return {
            "model": self.proposals is not None,
            "proposing": bool(self.proposals and self.proposals.running),
            "doubts": {name: round(proposal.doubt(rois), 4) for name, proposal in found.items()},
            "unreadable": dict(self.films.unreadable),
            "faults": [fault for fault in faults if fault],
        }

    def film(self, name: str) -> dict[str, Any]:
        """The state of a film, and the model's proposal.

        Raises:
            DatasetError: no such film.
        """
        self.films.path(name)
        self.films.look(name)
        proposal = self.proposals.of(name) if self.proposals else None
        if self.store.entry(name).replaced:
            self.store.files.changed()
        return {**self.described(name), "proposal": proposal and vars(proposal)}

    def change(self, name: str, record: object) -> dict[str, Any]:
        """Store what the page sent: a state and the revision that it was made from.

        Raises:
            DatasetError: no such film, or a state that isn't valid.
            StaleRevision: the film has changed meanwhile, or it isn't the one that the page has shown.
            StorageError: the state couldn't be stored.
        """
        self.films.path(name)
        if not isinstance(record, Mapping) or not is_whole(record.get("revision")):
            raise DatasetError(f"{shown(record)}: expected a state with its revision")
        seen = self.films.seen(name) or self.films.look(name)
        size, stamp = seen or (None, None)
        if record.get("size", size and list(size)) != (size and list(size)):
            raise StaleRevision(name, "its file was replaced meanwhile")
        state = parse_state(record, self.store.project, size)
        self.store.save(name, record["revision"], state, size, stamp)
        return self.described(name)

    def described(self, name: str) -> dict[str, Any]:
        """A film's state with its revision, status and size, and the size that it had before it was replaced, if it was."""
        entry, seen = self.store.entry(name), self.films.seen(name)
        return {
            "revision": entry.revision,
            "status": entry.present.status(self.store.project.rois),
            "size": seen and list(seen.size),
            "replaced": entry.size if entry.replaced else None,
            **entry.present.record(),
        }

    def close(self) -> None:
        """End the proposals and write the label files."""
        if self.proposals:
            self.proposals.close()
        self.store.close()
