"""Films and their augmented copies from a config's training pipeline, as the network gets them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from hipdet.core.errors import DatasetError
from hipdet.engine.config import use_annotations
from hipdet.engine.dataset import seed_everything
from hipdet.visualization.tiles import Mark, PicturedFilm, film_tile, marked_tile, shrunk


def training_films(cfg: Config, annotations: Path, root: Path) -> Any:
    """The dataset that `cfg` trains on, with its pipeline, over the films of `annotations` below `root`.

    Raises:
        ConfigError: the training films of the config don't come from one file.
        DatasetError: faulty annotations or films.
    """
    use_annotations(cfg, "train", str(annotations.resolve()))
    cfg.train_dataloader.dataset.data_root = str(root.resolve())
    init_default_scope(cfg.get("default_scope", "mmdet"))
    return DATASETS.build(cfg.train_dataloader.dataset)


def augmented_tiles(
    dataset: Any, films: Sequence[PicturedFilm], root: Path, draws: int, seed: int, side: int
) -> Iterator[Image.Image]:
    """Yield the tile of each film, then `draws` augmented ones, which depend on `seed` and the film's name alone.

    Raises:
        DatasetError: the config doesn't train on a film, for example because it has no labels.
    """
    places = {dataset.get_data_info(place)["img_path"]: place for place in range(len(dataset))}
    for film in films:
        place = places.get(str(film.path(root.resolve())))
        if place is None:
            raise DatasetError(f"{film.file_name}: the config doesn't train on this film: check that it has labels")
        yield film_tile(film, root, side)
        for draw in range(draws):
            seed_everything(seed, draw, *film.file_name.encode())
            packed = dataset.pipeline(copy.deepcopy(dataset.get_data_info(place)))
            yield _tile(packed, f"draw {draw + 1}", side, dataset.metainfo["classes"])


def _tile(packed: Any, caption: str, side: int, classes: Sequence[str]) -> Image.Image:
    """The tile of a packed sample, with class names if there are several; a dropped sample (None) gives an empty tile."""
    if packed is None:
        return marked_tile(Image.new("L", (1, 1)), 1.0, (), (caption, "dropped"), side)
    pixels = packed["inputs"].float().clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    found = packed["data_samples"].gt_instances
    boxes = getattr(found.bboxes, "tensor", found.bboxes).tolist()
    names = [classes[label] if len(classes) > 1 else "" for label in found.labels]
    marks = tuple(Mark(tuple(box), False, name) for box, name in zip(boxes, names))
    picture, scale = shrunk(Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]), side)
    return marked_tile(picture, scale, marks, (caption,), side)
