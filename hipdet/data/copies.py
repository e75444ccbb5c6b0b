"""Upright 8-bit copies of films, in full size or shrunk to the size used in training; and near-duplicate films.

Training decodes every film again in every epoch; copies of a few hundred pixels are decoded many times faster, and films
inside zips can be trained on only as copies.  Copies aren't padded: their size shows where the film ends, and the pipeline
inverts films before its ``Pad``.

Near duplicates are copies of a film from two web pages, or two exposures of one patient.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from hipdet.core.boxes import Edges
from hipdet.core.errors import HipdetError
from hipdet.core.files import native, replacing, write_text
from hipdet.core.spacing import SPACING
from hipdet.core.stored_files import COPIES
from hipdet.data.candidates import Candidate, Exclusion, build_exclusion
from hipdet.data.coco_file import Film
from hipdet.radiographs.grey import area_mean
from hipdet.radiographs.read import read_radiograph


@dataclass(frozen=True)
class Copies:
    """Where copies are written, and how large they are.

    Attributes:
        root: Data root, the folder above the copies.
        side: Long side in pixels to which larger films are shrunk; None for full size.
        workers: Number of processes; None for one per core.
    """

    root: Path
    side: int | None = None
    workers: int | None = None

    def folder(self, source: str) -> str:
        """Folder below `root`: ``cgoa_upright`` or ``cgoa_448``."""
        return f"{source}_{self.side or 'upright'}"


def copy_films(
    films: Sequence[tuple[Film, Candidate]], copies: Copies
) -> tuple[list[tuple[Film, Candidate]], list[Exclusion]]:
    """Write the copies; existing copies that are newer than their film are kept, so an interrupted run can be resumed.

    Returns:
        The films with the name, size and boxes of their copies, and the faults of films that can't be decoded.
    """
    for folder in {copies.folder(film.source) for film, _ in films}:
        write_text(
            copies.root / native(folder) / COPIES, "Copies that hipdet convert made of films: no films of their own.\n"
        )
    made = [
        (_in_copy(film, name, copies.side), candidate) for (film, candidate), name in zip(films, _names(films, copies))
    ]
    errors = tqdm(_write_all(made, copies), total=len(made), desc="copies", unit="film", disable=None)
    good, faults = [], []
    for (copy, candidate), error in zip(made, errors):
        if error is None:
            good.append((copy, candidate))
        else:
            faults.append(build_exclusion(candidate, error))
    return good, faults


def _names(films: Sequence[tuple[Film, Candidate]], copies: Copies) -> list[str]:
    """File names of the copies; films with the same short name, such as a.jpg and a.png, keep their extensions."""
    count = Counter(candidate.short_name for _, candidate in films)
    return [
        f"{copies.folder(film.source)}/{candidate.short_name if count[candidate.short_name] == 1 else film.file_name}.png"
        for film, candidate in films
    ]


def _in_copy(film: Film, name: str, side: int | None) -> Film:
    original = {"original": film.file_name} if "original" not in film.extra else {}
    if side is None:
        return replace(film, file_name=name, extra={**film.extra, **original})
    scale = min(1.0, side / film.long_side)
    width, height = (max(1, int(pixels * scale + 0.5)) for pixels in (film.width, film.height))
    fx, fy = width / film.width, height / film.height  # from the rounded sizes, as in mmdet's Resize

    def scaled(box: Edges) -> Edges:
        return box[0] * fx, box[1] * fy, box[2] * fx, box[3] * fy

    rois, ignored = (
        tuple(replace(each, box=scaled(each.box), square=each.square and scaled(each.square)) for each in boxes)
        for boxes in (film.rois, film.ignored)
    )
    size = {"original_width": film.width, "original_height": film.height}
    extra = {**film.extra, **original, **size}
    if SPACING in extra:  # of DICOM films
        x, y = extra[SPACING]
        extra[SPACING] = [round(x / fx, 6), round(y / fy, 6)]
    return replace(film, file_name=name, width=width, height=height, rois=rois, extra=extra, ignored=ignored)


def _write_all(films: Sequence[tuple[Film, Candidate]], copies: Copies) -> Iterator[HipdetError | None]:
    write = partial(_write, copies=copies)
    if copies.workers == 1 or len(films) < 2:
        yield from map(write, films)
        return
    # only the parent process reports an interruption
    ignore = (signal.SIGINT, signal.SIG_IGN)
    workers = min(copies.workers or os.cpu_count() or 1, len(films))
    with ProcessPoolExecutor(workers, initializer=signal.signal, initargs=ignore) as pool:
        try:
            yield from pool.map(write, films, chunksize=4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write(film: tuple[Film, Candidate], copies: Copies) -> HipdetError | None:
    """Write one copy; returns the error of a film that can't be decoded."""
    copy, candidate = film
    (top, bottom), size, path = candidate.crop, (copy.width, copy.height), copies.root / native(copy.file_name)
    comment = f"hipdet copy, {size[0]}x{size[1]}, rows cut off: {top} and {bottom}"
    if _is_current(path, candidate, size, comment):
        return None
    try:
        source = candidate.file.source()
        pixels = read_radiograph(source, candidate.shown)
    except HipdetError as error:
        return error
    pixels = pixels[top : pixels.shape[0] - bottom]
    if copies.side is not None:
        pixels = np.rint(area_mean(pixels, *size)).astype(np.uint8)
    stamp = PngInfo()
    stamp.add_text("Comment", comment)
    stamp.add_text(FILM, film_digest(source))
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", pnginfo=stamp)
    return None


FILM = "Film"  # in the text of a copy: the digest of the film that it was made from
DIGITS, DIGESTED = 16, 1 << 16
FIRST_CHUNKS = 1024  # bytes, which hold that text


def film_digest(source: Path | bytes) -> str:
    """16 digits that tell the file of a film, or its content, from others: of the SHA-256 of its size and first 64 KiB.

    A copy that hipdet made has those of its film.

    Raises:
        OSError: the file can't be read.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head, size = file.read(DIGESTED), file.seek(0, os.SEEK_END)
    if own := re.search(rb"tEXt" + FILM.encode() + rb"\0([0-9a-f]{%d})" % DIGITS, head[:FIRST_CHUNKS]):
        return own[1].decode()
    return hashlib.sha256(size.to_bytes(8, "big") + head).hexdigest()[:DIGITS]


def _is_current(path: Path, candidate: Candidate, size: tuple[int, int], comment: str) -> bool:
    """Whether the copy exists, was made with the same settings, and is newer than the film."""
    if not path.is_file() or path.stat().st_mtime < candidate.file.path.stat().st_mtime:
        return False
    try:
        with Image.open(path) as copy:
            # earlier versions padded copies to a square and wrote the same comment
            return bool(copy.info.get("Comment") == comment and copy.size == size)
    except (OSError, SyntaxError, ValueError):  # what Pillow raises on damaged headers
        return False


SIDE = 16  # cells per side: 256 bits distinguish pelves, which look alike at 8x8
# Fraction of the bits.  100 pelves that were halved in size, saved again and given a gamma of 0.6 or 1.5 differ from the
# original by at most 0.07; any two different ones differ by at least 0.09.
LARGEST_DISTANCE = 0.07
FINE_SIDE = 64  # cells per side, for what hashes can't tell apart
# Correlation of `brightness_steps`.  Of 104 knees and 100 pelves, each that was saved again as above has .917 or more with
# the original; any two different ones have .70 or less, also two knees whose hashes differ by .066.
LEAST_CORRELATION = 0.8
_BLOCK = 1024


@dataclass(frozen=True, order=True)
class NearDuplicate:
    """Two films and their distance: the fraction of hash bits that differ."""

    distance: float
    first: str
    second: str


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each of 16x16 cells of the film ``[H, W]`` is brighter than the cell left of it, as ``[256]``.

    The hash is insensitive to size, exposure and compression; a film and its mirror image differ.
    """
    small = np.asarray(Image.fromarray(pixels).resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    return (small[:, 1:] > small[:, :-1]).reshape(-1)


def brightness_steps(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Differences between neighbours of 65x64 cells of the film ``[H, W]``, of mean 0 and length 1, ``[4096]``.

    The product with that of another film is their correlation; of a film without any difference it is 0.
    """
    small = np.asarray(Image.fromarray(pixels).resize((FINE_SIDE + 1, FINE_SIDE), Image.Resampling.BOX), np.float32)
    steps = np.diff(small, axis=1).reshape(-1)
    steps -= steps.mean()
    return steps / max(float(np.linalg.norm(steps)), 1e-6)


def near_duplicates(names: Sequence[str], hashes: Iterable[NDArray[np.bool_]]) -> list[NearDuplicate]:
    """All pairs of films whose hashes differ in at most 7% of their bits, the closest first."""
    bits = np.array(list(hashes), dtype=np.float32).reshape(len(names), SIDE * SIDE)
    ones = bits.sum(axis=1)
    found = []
    for start in range(0, len(names), _BLOCK):  # blocks limit the memory: all pairs of 60,000 films would take 14 GB
        block = bits[start : start + _BLOCK]
        differing = ones[start : start + _BLOCK, None] + ones[None] - 2 * block @ bits.T  # [block, N]
        for i, j in np.argwhere(differing <= LARGEST_DISTANCE * bits.shape[1]):
            if start + i < j:
                found.append(NearDuplicate(float(differing[i, j]) / bits.shape[1], names[start + i], names[j]))
    return sorted(found)


def groups(names: Sequence[str], pairs: Sequence[NearDuplicate]) -> dict[str, str]:
    """For each film the first name, in the order of `names`, of its chain of pairs; without pairs its own name."""
    place = {name: n for n, name in enumerate(names)}
    edges = [(place[pair.first], place[pair.second]) for pair in pairs]
    rows, columns = zip(*edges) if edges else ((), ())
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    first: dict[int, str] = {}
    return {name: first.setdefault(component[n], name) for name, n in place.items()}


def join_near_duplicates(
    films: Sequence[tuple[Film, Candidate]],
) -> tuple[list[tuple[Film, Candidate]], list[NearDuplicate], list[Exclusion]]:
    """Make near duplicates one patient, so that no split divides them; films that can't be decoded are faults."""
    good, hashes, faults = [], [], []
    for film, candidate in tqdm(films, "near duplicates", unit="film", disable=None):
        try:
            hashes.append(difference_hash(read_radiograph(candidate.file.source(), candidate.shown)))
            good.append((film, candidate))
        except HipdetError as error:
            faults.append(build_exclusion(candidate, error))
    names = [candidate.shown for _, candidate in good]
    pairs = near_duplicates(names, hashes)
    patient = {candidate.shown: film.patient for film, candidate in good}
    film_of = {whose: name for name, whose in patient.items()}
    # all films of a patient are joined
    first = groups(names, [*pairs, *(NearDuplicate(0, film_of[patient[name]], name) for name in names)])
    joined = [(replace(film, patient=patient[first[each.shown]]), each) for film, each in good]
    return joined, pairs, faults
