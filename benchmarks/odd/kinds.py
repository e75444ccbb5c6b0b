"""The kinds of odd films: what changes them, and how they are stored.

`light_box` and `collimator` were made after the training recipe was frozen on 2026-11-30.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from hipdet.core.boxes import Boxes
from odd.collimator import collimator
from odd.drawings import captions, implant, letters
from odd.geometry import Change, Grey, Made, cut, framed, one_hip, small, stretched, turned
from odd.greys import blurred, burnt, dark, inverted, low_contrast, noisy, ordinary
from odd.light_box import light_box


@dataclass(frozen=True)
class Kind:
    """A kind of odd films.

    Attributes:
        says: What such films are.
        change: Makes one of an ordinary film.
        turned: Degrees counter-clockwise by which it must be rotated to be upright, as in `FilmRois`.
        inverted: Whether bone is dark on it.
        hips: The fewest hips that the ordinary film must have.
        quality: Quality of its JPEG; None for PNG.
        new_metal: Whether labels no longer say if a hip is artificial.
    """

    says: str
    change: Change
    turned: int = 0
    inverted: bool = False
    hips: int = 1
    quality: int | None = None
    new_metal: bool = False

    @property
    def suffix(self) -> str:
        """The ending of its files."""
        return ".png" if self.quality is None else ".jpg"


def after(first: Change, second: Change) -> Change:
    """Both changes, `first` first."""

    def change(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
        return second(*first(film, boxes, rng), rng)

    return change


KINDS: dict[str, Kind] = {
    "ordinary": Kind("as they are", ordinary),
    "lying_left": Kind("rotated by a quarter turn, the head on the left", turned(1), turned=270),
    "lying_right": Kind("rotated by a quarter turn, the head on the right", turned(3), turned=90),
    "upside_down": Kind("rotated by half a turn", turned(2), turned=180),
    "inverted": Kind("bone is black", inverted, inverted=True),
    "inverted_lying": Kind(
        "bone is black, and the head on the left", after(inverted, turned(1)), turned=270, inverted=True
    ),
    "one_hip": Kind("cut between the hips", one_hip, hips=2),
    "small": Kind("the body .4 to .6 as large, in the middle of a black field", small),
    "implant": Kind("a prosthesis drawn over a hip", implant, new_metal=True),
    "dark": Kind("too dark", dark),
    "burnt": Kind("overexposed: the brightest .2 to .4 of what is within the labels is white", burnt),
    "low_contrast": Kind("all greys within .12 to .2 of the range", low_contrast),
    "blurred": Kind("no more detail than 100 px of the long side show", blurred),
    "stretched": Kind(
        "wider or higher by a quarter; labels are squares of the geometric mean side about the mapped centre", stretched
    ),
    "jpeg10": Kind("JPEG of quality 10, of Pillow", ordinary, quality=10),
    "captions": Kind("lines of text and a bar of text", captions),
    "letters": Kind("letters of the sides, arrows and a ruler", letters),
    "noisy": Kind("coarse grain", noisy),
    "cut": Kind("cropped close to a hip, which stays whole", cut),
    "framed": Kind("on a white or grey page", framed),
    "light_box": Kind(
        "photographed on a light box; labels are squares of the mean side about the mapped centre", light_box
    ),
    "collimator": Kind(
        "a collimator leaves a slanted field about the hips, with soft edges, and all else dark", collimator
    ),
}


def generator(seed: int, kind: str, film: str) -> np.random.Generator:
    """The random numbers of a film: they depend on `seed`, the name of its kind and its own name alone."""
    return np.random.default_rng(list(sha256(f"{seed}/{kind}/{film}".encode("utf-8", "surrogatepass")).digest()))
