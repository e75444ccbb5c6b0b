"""Two gloo ranks on this machine's CPU."""

import json

import pytest

from distributed_runs import free_port, run_distributed
from tool_runs import SMALL, run_python, run_tool

pytestmark = pytest.mark.slow


@pytest.mark.ci
def test_two_ranks_give_the_metrics_of_one(trained, recipe, phantoms, tmp_path):
    work_dir, _ = trained
    checkpoint, options = work_dir / "epoch_4.pth", ["--data-root", phantoms, "--cfg-options", *recipe.small]
    # 5 films on 2 ranks: the sampler repeats one
    options += ["test_dataloader.dataset.indices=5", "test_dataloader.batch_size=2"]
    one = run_tool("test", recipe.config, checkpoint, "--work-dir", "one", *options, cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    two = run_distributed("dist_test.sh", recipe.config, checkpoint, 2, "--work-dir", "two", *options, cwd=tmp_path)
    assert two.returncode == 0, two.stdout + two.stderr
    metrics = [json.loads((tmp_path / name / "test_report.json").read_text())["figures"] for name in ("one", "two")]
    assert metrics[0]["roi/num_rois"] == 10
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-6)  # convolutions of another batch size round differently


@pytest.mark.ci
def test_two_ranks_train(recipe, phantoms, tmp_path):
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    done = run_distributed(
        "dist_train.sh", recipe.config, 2, "--data-root", phantoms, "--work-dir", tmp_path / "w", *options,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    log = done.stdout + done.stderr
    assert "Stage 3 of 3" in log or recipe.name != "hip_ssd_exp3"
    assert "[1][2/2]" in log  # 16 films, batch 4 on each of two ranks
    assert (tmp_path / "w/epoch_3.pth").exists()
    assert json.loads((tmp_path / "w/val_report.json").read_text())["figures"]["roi/num_rois"] == 8


@pytest.mark.ci
def test_gloo_has_ended_before_the_process(phantoms, tmp_path):
    """A rank that exited while threads of gloo were running aborted (SIGABRT) in one of eight runs, after training."""
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    arguments = ["train", "configs/hip_ssd_exp3.py", "--launcher", "pytorch", "--data-root", str(phantoms), *options]
    script = tmp_path / "threads.py"
    script.write_text(
        "import glob, torch\n"
        "from hipdet.cli.main import main\n"
        "threads = lambda: {open(f).read().strip() for f in glob.glob('/proc/self/task/*/comm')}\n"
        "end = torch.distributed.destroy_process_group\n"
        "def destroy():\n"
        "    print('DURING', *sorted(threads()), flush=True)\n"
        "    end()\n"
        "torch.distributed.destroy_process_group = destroy\n"
        f"main({arguments!r})\n"
        "print('AFTER', *sorted(threads()), flush=True)\n"
    )
    rendezvous = {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    done = run_python(script, cwd=tmp_path, **rendezvous)
    assert done.returncode == 0, done.stdout + done.stderr
    during, after = (next(x for x in done.stdout.splitlines() if x.startswith(key)) for key in ("DURING", "AFTER"))
    assert "gloo" in during
    assert "gloo" not in after
