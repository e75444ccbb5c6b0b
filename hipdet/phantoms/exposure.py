"""Turn optical depth into grey values, bone bright, and add what a film shows besides the patient: shutters and text."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.phantoms.depth import Depths
from hipdet.phantoms.plan import Source
from hipdet.phantoms.shapes import Map

Pixels = NDArray[np.uint8]  # [H, W]


def develop(depths: Depths, look: Source, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Render a film ``[H, W]`` of `size` (height, width), with the contrast and noise of the source `look`."""
    scatter = rng.uniform(0.0, 0.12)
    soft = depths.soft + _slope(depths.soft.shape, rng)
    depth = _scattered(soft + depths.bone + depths.metal, scatter)
    low, high = _window(_scattered(soft + depths.bone, scatter), depths.soft, look, rng)
    depth = np.asarray(cv2.GaussianBlur(depth, (0, 0), rng.uniform(0.5, 1.1)))
    amount = rng.uniform(*look.sharpen)
    if amount > 0.1:  # the edge enhancement of computed radiography
        depth = depth + np.float32(amount) * (depth - cv2.GaussianBlur(depth, (0, 0), depth.shape[1] / 40))
    interpolation = cv2.INTER_AREA if max(depth.shape) > max(size) else cv2.INTER_CUBIC
    film = np.asarray(cv2.resize(depth, size[::-1], interpolation=interpolation), dtype=np.float32)
    # quantum noise: the standard deviation of -log(count) is 1 / sqrt(count)
    noise = np.exp(np.minimum(film, 6) * np.float32(0.5))
    noise *= np.float32(10 ** (-0.5 * rng.uniform(*look.photons)))
    noise *= rng.standard_normal(size, dtype=np.float32)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.9))
    film += noise
    film -= np.float32(low)
    film *= np.float32(1023 / (high - low))
    levels = np.clip(film, 0, 1023).astype(np.uint16)
    return _curve(look, rng)[levels]


def _slope(size: tuple[int, ...], rng: np.random.Generator) -> Map:
    """Uneven exposure: the heel effect of the tube, and a patient who isn't centred in the beam."""
    down, across = rng.normal(0, 0.12, 2)
    ys, xs = np.ogrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    return np.asarray(down * ys + across * xs, dtype=np.float32)


def _scattered(depth: Map, share: float) -> Map:
    """Apparent `depth` when a `share` of the light is scattered over the neighbourhood."""
    light = np.exp(-depth)
    small = cv2.resize(light, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    fog = cv2.resize(cv2.GaussianBlur(small, (0, 0), small.shape[1] / 10), depth.shape[::-1])
    return np.asarray(-np.log(light * np.float32(1 - share) + fog * np.float32(share) + np.float32(5e-3)))


def _window(depth: Map, soft: Map, look: Source, rng: np.random.Generator) -> tuple[float, float]:
    """The depths that become black and white; `depth` is without metal, which doesn't change the window."""
    step = max(1, min(depth.shape) // 128)
    body = depth[::step, ::step][soft[::step, ::step] > 0.3]
    if body.size < 16:
        body = depth.ravel()
    white = rng.uniform(*look.white)
    high = float(np.quantile(body, white)) + rng.uniform(0.0, 0.4)
    low = float(np.quantile(body, rng.uniform(0.0, 0.25))) * rng.uniform(0.2, 1.0)
    return low, max(high, low + 0.5)


def _curve(look: Source, rng: np.random.Generator) -> Pixels:
    """Grey ``[1024]`` of each level: gamma, a slight S shape, fog, and a white that isn't reached."""
    level = np.linspace(0, 1, 1024) ** rng.uniform(*look.gamma)
    bend = rng.uniform(-0.1, 0.35)
    level = level * (1 - bend) + bend * level**2 * (3 - 2 * level)
    black, missing = rng.uniform(*look.contrast_loss, size=2) * rng.uniform(0, 1, 2)
    return np.round(255 * (black + level * (1 - black - missing))).astype(np.uint8)


FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
CAPTIONS = (
    "AP PELVIS", "Figure 2", "Pelvis a.p.", "Case 14", "HIP OA", "www.example.org", "(A)", "WB", "2012", "PRE-OP",
)  # fmt: skip


def mark(film: Pixels, hips: Boxes, look: Source, rng: np.random.Generator) -> Pixels:
    """Return `film` ``[H, W]`` with the marks of its source; shutters and text keep clear of `hips` ``[N, 4]``."""
    if rng.random() < look.collimation:
        _collimate(film, hips, rng)
    if rng.random() < look.letters:
        _letters(film, hips, rng)
    if look.web:
        film = _web(film, hips, rng)
    return film


def _collimate(film: Pixels, hips: Boxes, rng: np.random.Generator) -> None:
    """Draw shutters: a slightly rotated frame in black, white or grey, outside the boxes of the hips."""
    height, width = film.shape
    (x0, y0), (x1, y1) = hips[:, :2].min(axis=0), hips[:, 2:].max(axis=0)
    share = rng.uniform(0, 0.6, 4) * (rng.random(4) < 0.6)  # of the way from the film's edge to the hips
    left, top = x0 * share[0], y0 * share[1]
    right, bottom = width - (width - x1) * share[2], height - (height - y1) * share[3]
    slope = np.tan(np.clip(rng.normal(0, 0.015), -0.04, 0.04))
    dx, dy = slope * height / 2, slope * width / 2
    corners = np.array(
        [(left + dx, top - dy), (right + dx, top + dy), (right - dx, bottom + dy), (left - dx, bottom - dy)]
    )
    # move the corners outwards so that the rotation brings no edge over a hip
    corners += np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (abs(dx), abs(dy))
    outside = np.full(film.shape, 255, dtype=np.uint8)
    cv2.fillConvexPoly(outside, np.round(corners).astype(np.int32), 0)
    grey = int(rng.choice([0, 0, 0, 255, int(rng.integers(0, 80))]))
    film[outside > 0] = grey


def _letters(film: Pixels, hips: Boxes, rng: np.random.Generator) -> None:
    """Draw lead letters, R on the patient's right (picture left) and L on the other side, and perhaps a line of text."""
    height, width = film.shape
    for text, place in (("R", rng.uniform(0.02, 0.12)), ("L", rng.uniform(0.86, 0.95))):
        if rng.random() < 0.65:
            size = rng.uniform(0.03, 0.06) * width
            where = (place * width, rng.uniform(0.06, 0.95) * height)
            _write(film, text, where, size, rng, hips)
    if rng.random() < 0.3:
        text = f"{rng.integers(10, 99)} {rng.choice(['SUPINE', 'kV 75', 'AP', 'TABLE'])}"
        where = (rng.uniform(0.02, 0.7) * width, rng.uniform(0.03, 0.1) * height)
        _write(film, text, where, 0.022 * width, rng, hips)


def _write(
    film: Pixels, text: str, where: tuple[float, float], size: float, rng: np.random.Generator, hips: Boxes
) -> None:
    """Write white `text`, `size` pixels high, with its lower left corner at `where`, unless it would cover a hip."""
    font, weight = int(rng.choice(FONTS)), max(1, round(size / 8))
    scale = size / 22  # the Hershey fonts' capitals are about 22 units high
    (w, h), _ = cv2.getTextSize(text, font, scale, weight)
    x, y = where
    clear = (x > hips[:, 2]) | (x + w < hips[:, 0]) | (y - h > hips[:, 3]) | (y < hips[:, 1])
    if not clear.all():
        return
    cv2.putText(film, text, (round(x), round(y)), font, scale, int(rng.integers(190, 256)), weight, cv2.LINE_AA)
    if rng.random() < 0.2 and len(text) == 1:
        cv2.circle(film, (round(x + w / 2), round(y - h / 2)), round(max(w, h) * 0.95), 230, weight, cv2.LINE_AA)


def _web(film: Pixels, hips: Boxes, rng: np.random.Generator) -> Pixels:
    """Draw what pictures on the web have: a strip, captions, a watermark, an arrow, and JPEG artefacts."""
    height, width = film.shape
    if rng.random() < 0.3:
        _strip(film, hips, rng)
    for _ in range(rng.integers(0, 3)):
        where = (rng.uniform(0.01, 0.75) * width, rng.uniform(0.06, 0.99) * height)
        _write(film, str(rng.choice(CAPTIONS)), where, rng.uniform(0.025, 0.06) * width, rng, hips)
    if rng.random() < 0.15:
        layer = film.copy()
        where = (round(width * rng.uniform(0, 0.3)), round(height * rng.uniform(0.3, 0.8)))
        cv2.putText(layer, "example images", where, FONTS[0], width / 330, 255, max(1, width // 130), cv2.LINE_AA)
        share = rng.uniform(0.15, 0.4)
        film = np.asarray(cv2.addWeighted(layer, share, film, 1 - share, 0), dtype=np.uint8)
    if rng.random() < 0.2:
        hip = hips[rng.integers(len(hips))]
        tip = (hip[:2] + hip[2:]) / 2 + rng.normal(0, 0.35, 2) * (hip[2] - hip[0])
        length, angle = rng.uniform(0.3, 0.8) * (hip[2] - hip[0]), rng.uniform(0, 2 * np.pi)
        start, end = np.round([tip + length * np.array([np.cos(angle), np.sin(angle)]), tip]).astype(int).tolist()
        grey = int(rng.choice([255, 255, 0]))
        cv2.arrowedLine(film, start, end, grey, max(1, width // 150), cv2.LINE_AA, tipLength=0.3)
    _, data = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 91))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _strip(film: Pixels, hips: Boxes, rng: np.random.Generator) -> None:
    """Draw a black or white strip with text at the top or bottom, if the hips leave room for it."""
    height, width = film.shape
    at_top = rng.random() < 0.5
    room = hips[:, 1].min() if at_top else height - hips[:, 3].max()
    thick = int(min(room * 0.8, rng.uniform(0.05, 0.12) * height))
    if thick < 0.03 * height:
        return
    paper = int(rng.choice([0, 255]))
    band = film[:thick] if at_top else film[height - thick :]
    band[:] = paper
    text = " ".join(str(word) for word in rng.choice(CAPTIONS, 3))
    where = (round(width * rng.uniform(0.01, 0.2)), round(thick * 0.75))
    cv2.putText(band, text, where, FONTS[0], thick * 0.5 / 22, 255 - paper, max(1, thick // 18), cv2.LINE_AA)
