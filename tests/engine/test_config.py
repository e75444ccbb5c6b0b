"""Arguments applied to new configs, and to configs that a training saved.

``--tta`` from the config to the boxes, on films of any shape: a network that paints where it looks shows where that is.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn

from hipdet.cli.train import add_config_arguments, load_config
from hipdet.core.configs import read_config
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.config import mirroring_pipeline, require_annotations, use_flip_averaging, use_resume
from places import REPOSITORY


def load(*arguments):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser, ["train", "val", "test"])
    return load_config(parser.parse_args([str(each) for each in arguments]))


def places(cfg):
    """Every file that films and labels are read from."""
    for part in ("train", "val", "test"):
        dataset = cfg[f"{part}_dataloader"].dataset
        yield str(Path(dataset.data_root, dataset.ann_file))
    for part in ("val", "test"):
        yield from (evaluator.ann_file for evaluator in cfg[f"{part}_evaluator"] if "ann_file" in evaluator)


@pytest.mark.parametrize("saved", [False, True])
def test_data_root_moves_films_and_evaluators(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", str(tmp_path / "then"))
    config = REPOSITORY / "configs/hip_roi_medium.py"
    if saved:
        load(config).dump(tmp_path / "saved.py")
        config = tmp_path / "saved.py"
    now = tmp_path / "now"
    found = list(places(load(config, "--data-root", now, "--test-ann", "mine.json")))
    assert len(found) == 7
    assert all(place.startswith(f"{now}/") for place in found)
    assert sum(place == f"{now}/mine.json" for place in found) == 3  # dataset and two evaluators


def test_a_folder_with_the_same_beginning_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", str(tmp_path / "then"))
    cfg = load(REPOSITORY / "configs/hip_roi_medium.py")
    cfg.test_dataloader.dataset.ann_file = f"{tmp_path}/then_and_there/a.json"
    cfg.dump(tmp_path / "saved.py")
    found = load(tmp_path / "saved.py", "--data-root", tmp_path / "now")
    assert found.test_dataloader.dataset.ann_file == f"{tmp_path}/then_and_there/a.json"
    assert found.data_root == f"{tmp_path}/now"


def test_a_config_without_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", "elsewhere")
    Config(dict(model=dict(type="A"))).dump(tmp_path / "plain.py")
    with pytest.raises(ConfigError, match=r"plain\.py has no data_root"):
        load(tmp_path / "plain.py", "--data-root", tmp_path)


def test_resume_without_a_checkpoint_begins_from_load_from(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / "start.pth")
    cfg = Config(dict(work_dir=str(tmp_path / "run"), load_from=str(tmp_path / "start.pth")))
    use_resume(cfg, "auto")
    assert not cfg.get("resume")
    assert cfg.load_from == str(tmp_path / "start.pth")
    (tmp_path / "start.pth").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"start\.pth"):
        use_resume(cfg, "auto")


def test_nothing_to_resume_from_is_said(tmp_path, capsys):
    cfg = Config(dict(work_dir=str(tmp_path)))
    use_resume(cfg, "auto")
    assert not cfg.get("resume")
    assert capsys.readouterr().err == f"{tmp_path}: no checkpoint to resume from: training starts from epoch 1\n"


def test_resume_prefers_what_has_been_trained(tmp_path):
    content = dict(state_dict=dict(weight=torch.zeros(1)), optimizer={}, meta=dict(epoch=2, iter=8))
    torch.save(content, tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    cfg = Config(dict(work_dir=str(tmp_path), load_from=str(tmp_path / "elsewhere.pth")))
    use_resume(cfg, "auto")
    assert cfg.resume
    assert cfg.load_from is None


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (None, "no epoch, expected a whole number"),
        ([1], r"its metadata: found \[1\], expected an object"),
        (dict(epoch="2", iter=8), "epoch is '2'"),
        (dict(epoch=2, iter=-1), "iter is -1"),
        (dict(epoch=2, iter=8, seconds="long"), "seconds is 'long'"),
        (dict(epoch=2, iter=8, seconds=float("nan")), "seconds is nan"),
    ],
)
def test_forged_metadata_is_not_resumed(tmp_path, meta, words):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1)), optimizer={}, meta=meta), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"a\.pth: its metadata: .*{words}|{words}"):
        use_resume(Config(dict(work_dir=str(tmp_path))), str(tmp_path / "a.pth"))


@pytest.mark.parametrize("note", ["", "/elsewhere/epoch_3.pth"])
def test_the_last_checkpoint_is_not_there(tmp_path, note):
    """The disk was full when its name was written, or the folder was moved."""
    (tmp_path / "last_checkpoint").write_text(note)
    (tmp_path / "epoch_2.pth").touch()
    with pytest.raises(CheckpointError, match=r"last_checkpoint: names '.*', which isn't there: .* \(epoch_2\.pth\)"):
        use_resume(Config(dict(work_dir=str(tmp_path))), "auto")


def test_annotations_that_are_missing(tmp_path):
    """In wrappers too; files that aren't on this machine can't be checked."""
    dataset = dict(type="RoiDataset", data_root=str(tmp_path), ann_file="a.json")
    remote = dict(dataset, ann_file="s3://films/a.json")
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type="ConcatDataset", datasets=[remote, dataset]))))
    with pytest.raises(ConfigError, match=r"a\.json: no such file, expected the films for train: .*--data-root"):
        require_annotations(cfg, ("train", "val"))
    (tmp_path / "a.json").touch()
    require_annotations(cfg, ("train", "val"))
    cfg.train_dataloader.dataset.datasets[1].data_root = "data"
    with pytest.raises(ConfigError, match=rf"data/a\.json: no such file in {Path.cwd()}, expected"):
        require_annotations(cfg, ("train", "val"))


DARK, BRIGHT = 20, 250
# film: width, height and the bright rectangle, at the left of the film
FILMS = {
    "portrait.png": (400, 560, (30, 100, 110, 260)),
    "landscape.png": (560, 400, (40, 60, 160, 130)),
    "square.png": (448, 448, (16, 300, 80, 364)),
    "odd.png": (333, 517, (21, 33, 78, 91)),
    "small.png": (91, 130, (5, 50, 30, 81)),
}


def bright_box(film):
    """Pixel edges of the bright part of `film` ``[C, H, W]``."""
    rows, columns = (film.mean(0) > (DARK + BRIGHT) / 2).nonzero().unbind(1)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


def seen_at_the_left(box):
    return bool(box[0] + box[2] < 2 * 150)  # of 448 px: it is so on every film, and on no mirror image


@MODELS.register_module()
class GivesTheFilm(nn.Module):
    def forward(self, films):
        return (films,)


@MODELS.register_module()
class BrightHead(nn.Module):
    """Detects bright parts, with a higher score at the left."""

    num_classes = 1

    def __init__(self, **_):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, features):
        """What a refining detector asks for: a class logit and deltas of an anchor of one pixel, for each film."""
        boxes = torch.stack([bright_box(film) * (448 / film.shape[-1]) for film in features[-1]])
        sides = boxes[:, 2:] - boxes[:, :2]
        scores = torch.stack([torch.tensor(0.9 if seen_at_the_left(box) else 0.5) for box in boxes])
        deltas = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5, sides.log()], dim=1)
        return scores.logit()[:, None, None], deltas[:, None]

    def flat(self, logits, deltas):
        return torch.tensor([[0.0, 0, 1, 1]]), logits, deltas

    def predict(self, features, batch_data_samples, rescale):
        results = []
        for film, sample in zip(features[-1], batch_data_samples):
            box = bright_box(film) * (448 / film.shape[-1])
            score = torch.tensor([0.9 if seen_at_the_left(box) else 0.5])
            if rescale:
                box = box / box.new_tensor(sample.scale_factor).repeat(2)
            results.append(InstanceData(bboxes=box[None], scores=score, labels=torch.zeros(1).long()))
        return results


@MODELS.register_module()
class SidedHead(BrightHead):
    """Of two classes it gives that of the picture's side."""

    def predict(self, features, batch_data_samples, rescale):
        results = super().predict(features, batch_data_samples, rescale)
        for each in results:
            each.labels = (each.scores < 0.7).long()  # as in this view: right lung at the left, left lung at the right
        return results


@MODELS.register_module()
class BrightRefiner(nn.Module):
    def refine(self, film, boxes, mirrored):
        box = bright_box(film)
        return box.expand(len(boxes), 4), torch.full((len(boxes),), 0.9 if seen_at_the_left(box) else 0.5)


@METRICS.register_module()
class Kept(BaseMetric):
    """The detections on each film."""

    found = {}

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        Kept.found = {sample["img_path"].rpartition("/")[2]: sample for sample in results}
        return {}


def write_films(root, classes=("hip",)):
    coco = dict(images=[], annotations=[], categories=[dict(id=n, name=name) for n, name in enumerate(classes, 1)])
    for number, (name, (width, height, (x0, y0, x1, y1))) in enumerate(FILMS.items(), 1):
        film = np.full((height, width), DARK, np.uint8)
        film[y0:y1, x0:x1] = BRIGHT
        Image.fromarray(film).save(root / name)
        coco["images"].append(dict(id=number, file_name=name, width=width, height=height))
        box = dict(bbox=[x0, y0, x1 - x0, y1 - y0], area=(x1 - x0) * (y1 - y0), iscrowd=0)
        coco["annotations"].append(dict(box, id=number, image_id=number, category_id=1))
    (root / "ann.json").write_text(json.dumps(coco))


def configured(root, base, batch, head="BrightHead", metainfo=None):
    """`base` with the painting network, over the drawn films."""
    cfg = read_config(f"configs/{base}.py")
    cfg.model.backbone = dict(type="GivesTheFilm")
    cfg.model.bbox_head = dict(type=head)
    if "refiner" in cfg.model:
        cfg.model.refiner = dict(type="BrightRefiner")
    cfg.test_dataloader.update(batch_size=batch, num_workers=0)
    cfg.test_dataloader.dataset.update(data_root=str(root), ann_file="ann.json", pipeline=to_448(cfg))
    if metainfo:
        cfg.test_dataloader.dataset.metainfo = metainfo
    cfg.test_evaluator = [dict(type="Kept")]
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.custom_hooks = []
    cfg.default_hooks = dict(checkpoint=None)
    cfg.work_dir = str(root / "work")
    cfg.experiment_name = f"{base}_{batch}_{root.name}"
    return cfg


def to_448(cfg):
    """The test pipeline of `cfg` at 448 px, whatever its size is there."""
    steps = [dict(step) for step in cfg.test_dataloader.dataset.pipeline]
    for step in steps:
        key = {"Resize": "scale", "Pad": "size"}.get(step["type"])
        if key:
            step[key] = (448, 448)
    return steps


def run(cfg):
    """The test's detections on each film, as rows of box, score and label."""
    Runner.from_cfg(cfg).test()
    rows = {}
    for name, sample in Kept.found.items():
        instances = sample["pred_instances"]
        boxes, scores, labels = (instances[key].tolist() for key in ("bboxes", "scores", "labels"))
        rows[name] = [[*box, score, label] for box, score, label in zip(boxes, scores, labels)]
    assert set(rows) == set(FILMS)
    return rows


@pytest.mark.parametrize("base", ["hip_ssd_exp3", "hip_roi_medium"])
@pytest.mark.parametrize("batch", [1, 5])
def test_boxes_are_unmirrored_exactly_on_films_of_any_shape(tmp_path, base, batch):
    write_films(tmp_path)
    plain = run(configured(tmp_path, base, batch))
    averaging = configured(tmp_path, base, batch)
    use_flip_averaging(averaging)
    averaged = run(averaging)
    for name, (width, height, box) in FILMS.items():
        ((*expected, plain_score, _),) = plain[name]
        assert expected == pytest.approx(box, abs=0.5 + max(width, height) / 448)  # a pixel of the square
        assert plain_score == pytest.approx(0.9)
        ((*found, score, label),) = averaged[name]
        assert found == pytest.approx(expected, abs=1e-3)
        assert score == pytest.approx(0.7)  # (.9 + .5) / 2: two views, and the second one is mirrored
        assert label == 0


SIDES = ("right lung", "left lung")
PAIRS = dict(classes=SIDES, mirrored_pairs=[SIDES])


def test_sided_classes_change_places_before_they_are_paired(tmp_path):
    write_films(tmp_path, SIDES)
    cfg = configured(tmp_path, "hip_ssd_exp3", 2, "SidedHead", PAIRS)
    use_flip_averaging(cfg)
    assert {name: (len(rows), rows[0][4:]) for name, rows in run(cfg).items()} == {
        name: (1, [pytest.approx(0.7), 0]) for name in FILMS
    }
    cfg = configured(tmp_path, "hip_ssd_exp3", 2, "SidedHead", dict(PAIRS, mirrored_pairs=[]))
    use_flip_averaging(cfg)
    for rows in run(cfg).values():  # two classes at one place: nothing to average
        assert [row[4:] for row in rows] == [[pytest.approx(0.9), 0], [pytest.approx(0.5), 1]]


def test_sided_classes_without_pairs_are_refused(tmp_path):
    cfg = configured(tmp_path, "hip_ssd_exp3", 2, metainfo=dict(classes=SIDES))
    with pytest.raises(ConfigError, match=r"hip_ssd_exp3\.py: --tta mirrors films, and 'left lung' and 'right lung'"):
        use_flip_averaging(cfg)


def test_the_models_own_threshold_for_one_roi(tmp_path):
    cfg = configured(tmp_path, "hip_roi_medium", 1)
    cfg.model.test_cfg.update(nms=dict(type="nms", iou_threshold=0.6), max_per_img=7)
    cfg.test_dataloader.collate_fn = dict(type="collate_films")  # it stacks films, but two views can't be stacked
    use_flip_averaging(cfg)
    (hook,) = cfg.custom_hooks
    assert hook.tta_cfg == dict(type="MirrorAveraging", same_roi=0.6, max_per_img=7, mirrored_labels=(0,))
    write_films(tmp_path)
    assert all(len(rows) == 1 for rows in run(cfg).values())


@pytest.mark.parametrize(
    ("base", "classes", "changes", "most"),
    [
        ("hip_roi_medium", 2, {}, 12),  # by default 3 of each class, from each view
        ("hip_roi_medium", 3, dict(passes=(4, 1)), 24),
        ("hip_roi_medium", 1, dict(passes=(4, 1)), 2),
        ("hip_roi_medium", 2, dict(passes=()), 2),
        ("hip_ssd_exp3", 2, {}, 2),
    ],
)
def test_no_class_is_cut_off(tmp_path, base, classes, changes, most):
    """A refining detector of several classes ignores max_per_img, so the mean of two views does too."""
    cfg = configured(tmp_path, base, 1)
    cfg.model.update(changes, bbox_head=dict(num_classes=classes))
    cfg.model.test_cfg.max_per_img = 2
    use_flip_averaging(cfg)
    assert cfg.custom_hooks[0].tta_cfg.max_per_img == most


def test_a_pipeline_of_mmdet(tmp_path):
    """Labels first, no Pad: the preprocessor pads the batch; meta keys as mmdet has them."""
    write_films(tmp_path)
    cfg = configured(tmp_path, "hip_ssd_exp3", 1)
    load, resize, _, labels, _ = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [load, labels, resize, dict(type="PackDetInputs")]
    plain = run(cfg)
    cfg = configured(tmp_path, "hip_ssd_exp3", 1)
    cfg.test_dataloader.dataset.pipeline = [load, labels, resize, dict(type="PackDetInputs")]
    use_flip_averaging(cfg)
    for name, rows in run(cfg).items():
        assert rows[0][:4] == pytest.approx(plain[name][0][:4], abs=1e-3)


LOAD, RESIZE, PAD, PACK = (dict(type=kind) for kind in ("LoadImageFromFile", "Resize", "Pad", "PackDetInputs"))
LABELS, CROP = dict(type="LoadAnnotations"), dict(type="CenterCrop")


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        ([LOAD, RESIZE, PAD, LABELS, PACK], 2),
        ([LOAD, LABELS, RESIZE, PAD, PACK], 3),
        ([LOAD, PAD, RESIZE, PACK], 1),
        ([LOAD, PACK], 1),
        ([LOAD, RESIZE, PACK], 2),
        ([LOAD, CROP, RESIZE, PAD, PACK], 1),  # whatever a step does, it applies to both views
        ([LOAD, dict(type="mmdet.Resize"), dict(type="mmcv.Pad"), PACK], 2),
        ([LOAD, dict(type="FixShapeResize"), PACK], 1),  # it pads
    ],
)
def test_the_film_is_mirrored_before_it_is_padded(steps, before):
    *begin, looks = mirroring_pipeline(steps)
    assert begin == steps[:before]
    assert looks["type"] == "TestTimeAug"
    flips, *after = looks["transforms"]
    assert [(flip["type"], flip["prob"]) for flip in flips] == [("RandomFlip", 0.0), ("RandomFlip", 1.0)]  # plain first
    assert after == [[step] for step in steps[before:]]


def test_meta_keys_are_added_where_they_are_listed():
    keys = ("img_id", "flip", "scale_factor")
    ((pack,),) = mirroring_pipeline([LOAD, dict(PACK, meta_keys=keys)])[-1]["transforms"][1:]
    assert pack["meta_keys"] == (*keys, "ori_shape", "flip_direction")


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "the test pipeline is [], expected LoadImageFromFile first"),
        ([RESIZE, PACK], "the test pipeline is ['Resize', 'PackDetInputs'], expected LoadImageFromFile first"),
        ([LOAD, RESIZE, PAD], "expected LoadImageFromFile first and PackDetInputs last"),
        ([LOAD, dict(type="RandomFlip", prob=0.5), PACK], "has RandomFlip already"),
        ([LOAD, dict(type="TestTimeAug", transforms=[[PACK]]), PACK], "has TestTimeAug already"),
    ],
)
def test_pipelines_that_films_can_not_be_mirrored_in(steps, words):
    with pytest.raises(ConfigError, match=r"^--tta: ") as error:
        mirroring_pipeline(steps)
    assert words in str(error.value)


def test_data_sets_of_several_parts(tmp_path):
    init_default_scope("mmdet")
    cfg = read_config("configs/hip_ssd_exp3.py")
    cfg.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[cfg.test_dataloader.dataset])
    with pytest.raises(ConfigError, match=r"hip_ssd_exp3\.py is a ConcatDataset without a pipeline and classes"):
        use_flip_averaging(cfg)
