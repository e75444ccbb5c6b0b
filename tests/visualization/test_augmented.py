import json

import numpy as np
import pytest

from hipdet.core.configs import read_config
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.visualization.augmented import augmented_tiles, training_films
from hipdet.visualization.tiles import PicturedFilm

CONFIG, SIDE = "configs/hip_ssd_exp3.py", 224
YELLOW = (255, 212, 0)


@pytest.fixture(scope="module")
def dataset(phantoms):
    return training_films(read_config(CONFIG), phantoms / "annotations/gis.json", phantoms)


def films_of(dataset, phantoms):
    paths = [dataset.get_data_info(place)["img_path"] for place in range(2)]
    return [PicturedFilm(path[len(str(phantoms.resolve())) + 1 :]) for path in paths]


def tiles(dataset, films, root, seed=0, draws=2):
    return [np.asarray(tile).astype(int) for tile in augmented_tiles(dataset, films, root, draws, seed, SIDE)]


def test_each_film_is_followed_by_its_draws(dataset, phantoms):
    films = films_of(dataset, phantoms)
    drawn = tiles(dataset, films, phantoms)
    assert len(drawn) == 6
    for original, *draws in (drawn[:3], drawn[3:]):
        assert not (original == YELLOW).all(axis=2).any()  # this one was given without its boxes
        for draw in draws:
            assert draw.shape[1] == SIDE
            assert (draw == YELLOW).all(axis=2).sum() > 50
    assert (drawn[1] != drawn[2]).mean() > 0.05


def test_draws_are_those_of_the_seed_and_the_film(dataset, phantoms):
    first, second = films_of(dataset, phantoms)
    both, alone = tiles(dataset, [first, second], phantoms), tiles(dataset, [second], phantoms)
    assert all((a == b).all() for a, b in zip(both[3:], alone))
    assert (tiles(dataset, [second], phantoms, seed=1)[1] != alone[1]).any()


def test_names_of_several_classes_are_those_of_the_mirror_image(phantoms, tmp_path, monkeypatch):
    """Each hip is of the class of its side of the picture, also where the film is mirrored."""
    coco = json.loads((phantoms / "annotations/gis.json").read_text())
    coco["categories"] = [dict(id=1, name="left hip"), dict(id=2, name="right hip")]
    for annotation in coco["annotations"]:
        annotation["category_id"] = 1 if annotation["laterality"] == "left" else 2
    (tmp_path / "sided.json").write_text(json.dumps(coco))
    cfg = read_config("configs/hip_roi_medium.py")
    pairs = [("left hip", "right hip")]
    cfg.train_dataloader.dataset.metainfo = dict(classes=("left hip", "right hip"), mirrored_pairs=pairs)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == "RandomSimilarity":
            step.update(flip_prob=1.0, quarter_turn_prob=0.0, scale=(0.8, 1.0), max_shift=0.0)
    sided = training_films(cfg, tmp_path / "sided.json", phantoms)
    drawn = []
    monkeypatch.setattr("hipdet.visualization.augmented.marked_tile", lambda *given: drawn.append(given[2]))
    films = films_of(sided, phantoms)
    list(augmented_tiles(sided, films, phantoms, 3, 0, SIDE))
    assert len(drawn) == 6
    for marks in drawn:  # the patient's left is at the right of the picture
        assert [mark.text for mark in sorted(marks, key=lambda mark: mark.box[0])] == ["right hip", "left hip"]


def test_a_film_that_is_not_trained_on(dataset, phantoms):
    with pytest.raises(DatasetError, match=r"none\.png: the config doesn't train on this film"):
        tiles(dataset, [PicturedFilm("none.png")], phantoms)


def test_a_config_of_several_sets(phantoms):
    cfg = read_config(CONFIG)
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[cfg.train_dataloader.dataset])
    with pytest.raises(ConfigError, match="from one file"):
        training_films(cfg, phantoms / "annotations/gis.json", phantoms)
