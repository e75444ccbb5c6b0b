import json

import pytest

from hipdet.core.errors import DatasetError
from hipdet.visualization.plot_data import read_log, runs_of


def write(work_dir, rows, started="20260101_000000", end="\n"):
    path = work_dir / started / "vis_data/scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    return work_dir


def trained(epoch, number, loss):
    return dict(lr=0.1 * epoch, loss=loss, epoch=epoch, iter=number, step=number)


def validated(epoch, iou):
    return {"roi/avg_iou": iou, "time": 0.1, "step": epoch}


def test_means_of_epochs_and_validation(tmp_path):
    write(tmp_path, [trained(1, 10, 4.0), trained(1, 20, 2.0), trained(2, 30, 1.0), validated(2, 0.7)])
    log = read_log(tmp_path)
    assert log.training["loss"] == {1: 3.0, 2: 1.0}
    assert log.training["lr"] == {1: 0.1, 2: 0.2}
    assert log.validation["roi/avg_iou"] == {2: 0.7}
    assert "epoch" not in log.training


def test_what_was_trained_again_counts(tmp_path):
    """An interruption in epoch 2, of which steps 30 and 40 were logged, and a last line cut short."""
    write(
        tmp_path, [trained(1, 20, 4.0), trained(2, 30, 9.0), trained(2, 40, 9.0), validated(2, 0.1)], end='\n{"loss": 3'
    )
    write(tmp_path, [trained(2, 30, 2.0), trained(2, 40, 1.0), validated(2, 0.6)], "20260102_000000")
    log = read_log(tmp_path)
    assert log.training["loss"] == {1: 4.0, 2: 1.5}
    assert log.validation["roi/avg_iou"] == {2: 0.6}


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    write(tmp_path, [trained(1, 10, float("nan")), dict(trained(2, 20, 1.0), memory="much")])
    assert read_log(tmp_path).training["loss"] == {2: 1.0}


def test_runs_of_folders(tmp_path):
    for fold in (1, 0):
        write(tmp_path / f"fold{fold}", [trained(1, 10, 1.0)])
    (tmp_path / "folds").mkdir()
    assert [run.name for run in runs_of(tmp_path)] == ["fold0", "fold1"]
    assert runs_of(tmp_path / "fold1") == [tmp_path / "fold1"]
    with pytest.raises(DatasetError, match=r"folds: no .*scalars\.json in it: expected the work dir"):
        runs_of(tmp_path / "folds")


def test_other_files_are_refused(tmp_path):
    write(tmp_path, [dict(loss=1), trained(1, 10, 1.0)])
    with pytest.raises(DatasetError, match="line 1: expected a line of mmengine's log"):
        read_log(tmp_path)
