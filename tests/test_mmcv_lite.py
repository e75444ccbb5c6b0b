"""The stand-in for mmcv's compiled extension, tested in new processes, as imports can't be undone."""

import pkgutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet import mmcv_lite
from hipdet.core.boxes import iou_matrix
from places import REPOSITORY
from tool_runs import mmcv_is_lite, run_python


def run(code):
    return run_python("-c", code, cwd=REPOSITORY, timeout=120)


lite_only = pytest.mark.skipif(not mmcv_is_lite(), reason="this environment has compiled mmcv")


@lite_only
def test_without_the_finder_mmdet_does_not_import():
    # if this fails, the fallback has become unnecessary
    without = "import sys; sys.meta_path = [f for f in sys.meta_path if type(f).__name__ != 'ExtensionFinder']"
    assert "mmcv._ext" in run(f"{without}; import mmdet.models").stderr


SCRIPT = "import sys; from mmdet.models import SSDHead; import hipdet.plugin; print(SSDHead.__name__, __name__, sys.argv[1:])"


def test_a_script_that_imports_mmdet_first(tmp_path):
    """As with ``python SCRIPT``: its folder is searched first, it is ``__main__``, and it gets its own arguments."""
    (tmp_path / "beside.py").write_text("NAME = 'neighbour'")
    (tmp_path / "script.py").write_text(f"from beside import NAME\n{SCRIPT}\nprint(NAME)\nsys.exit(3)")
    done = run_python("-m", "hipdet.mmcv_lite", "script.py", "a", "--b", cwd=tmp_path)
    assert done.stdout.splitlines()[-2:] == ["SSDHead __main__ ['a', '--b']", "neighbour"], done.stderr
    assert done.returncode == 3


SPAWNING = """
import multiprocessing
from mmdet.models import SSDHead

class Sent:
    head = SSDHead

def work(sent):
    return sent.head.__name__, __name__

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(work, [Sent()]))
"""


def test_a_script_whose_processes_are_spawned(tmp_path):
    """Each runs the script again, as macOS does by default."""
    (tmp_path / "script.py").write_text(SPAWNING)
    done = run_python("-m", "hipdet.mmcv_lite", "script.py", cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["[('SSDHead', '__mp_main__')]"], done.stderr


SPAWNING_TRAINING = """
import multiprocessing, sys
from hipdet.cli.main import main

def work(sent):
    return sent.__name__

if __name__ == "__main__":
    import hipdet.plugin
    from mmdet.datasets import ConcatDataset
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(work, [ConcatDataset]))
"""


def test_processes_that_a_training_spawns_find_mmdets_classes(tmp_path):
    """They run the console script or ``tools/train.py`` again, then unpickle mmdet's dataset wrappers."""
    (tmp_path / "train.py").write_text(SPAWNING_TRAINING)
    done = run_python("train.py", cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["['ConcatDataset']"], done.stderr


@pytest.mark.ci
def test_a_script_that_imports_mmdet_first_on_two_ranks(tmp_path):
    # in one write: print writes words one by one, and those of two processes mix
    script = "import mmdet.models, os; os.write(1, f\"rank {os.environ['RANK']}\\n\".encode())"
    (tmp_path / "script.py").write_text(script)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    done = run_python(*launcher, "-m", "hipdet.mmcv_lite", "script.py", cwd=tmp_path)
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == ["rank 0", "rank 1"], (
        done.stderr
    )


def test_no_such_script(tmp_path):
    done = run_python("-m", "hipdet.mmcv_lite", "none.py", cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (1, "error: none.py: no such script: check the path")


def test_importing_hipdet_alone_loads_neither_torch_nor_mm():
    found = run(
        "import sys, hipdet; print(sorted(m for m in ('torch', 'mmengine', 'mmcv', 'mmdet') if m in sys.modules))"
    )
    assert found.stdout.strip() == "[]"


def test_importing_hipdet_has_no_effect():
    """It changes neither the import system nor mmdet's registries, whatever was imported before."""
    code = (
        "import sys, mmengine; before = set(sys.modules), list(sys.meta_path); import hipdet; "
        "print(sorted(set(sys.modules) - before[0]), sys.meta_path == before[1])"
    )
    assert run(code).stdout.strip() == "['hipdet', 'hipdet.version'] True"


def test_a_detector_in_an_environment_with_mmengine_alone():
    """As where hipdet doesn't support the installed mmdet: a detector needs neither mmdet nor mmcv."""
    code = (
        "import sys, mmengine; sys.modules['mmdet'] = sys.modules['mmcv'] = None; "
        "import hipdet, numpy; films = [numpy.full((300, 300), 90, numpy.uint8)]; "
        "print([film.error for film in hipdet.HipDetector()(films)])"
    )
    assert run(code).stdout.strip() == "[None]"


def test_a_detector_of_a_config_needs_nothing_imported_before(tmp_path):
    """Opening the config suffices: older ones have ``imports=['hipdet']``, which registers nothing."""
    (tmp_path / "config.py").write_text(
        f"_base_ = [{str(REPOSITORY / 'configs/hip_roi_small.py')!r}]\n"
        "custom_imports = dict(_delete_=True, imports=['hipdet'], allow_failed_imports=False)\n"
    )
    code = (
        "import sys, torch, hipdet; from hipdet.core.errors import CheckpointError\n"
        "from hipdet.export.torch_model import TorchModel\n"
        "from hipdet.core.configs import read_config; from mmdet.registry import MODELS\n"
        "from mmengine.registry import init_default_scope; init_default_scope('mmdet')\n"
        "cfg = read_config(sys.argv[1]); cfg.model.pop('init_cfg', None)\n"
        "torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), 'w.pth')\n"
        "print(type(hipdet.HipDetector(sys.argv[1], 'w.pth').model).__name__)"
    )
    done = run_python("-c", code, "config.py", cwd=tmp_path)
    assert done.stdout.split()[-1:] == ["TorchModel"], done.stderr


def test_installed_for_a_notebook():
    code = (
        "from hipdet import mmcv_lite; mmcv_lite.install(); from mmdet.models import SSDHead; print(SSDHead.__name__)"
    )
    assert run(code).stdout.strip() == "SSDHead"


def test_hipdet_first_then_the_plugin_registers():
    code = "import hipdet, hipdet.plugin; from mmdet.registry import MODELS; print(MODELS.get('HipSSDHead').__name__)"
    assert run(code).stdout.splitlines()[-1:] == ["HipSSDHead"]  # the onedl fork prints of its own


def test_mmengine_finds_the_extension_on_pythons_without_find_loader(monkeypatch):
    """Python 3.14 dropped ``pkgutil.find_loader``, which mmengine 0.10.7 calls when it builds a model."""
    from mmengine.utils.dl_utils.misc import mmcv_full_available

    monkeypatch.delattr(pkgutil, "find_loader", raising=False)
    mmcv_lite.install()
    assert mmcv_full_available()
    assert pkgutil.find_loader("no_such_module") is None


@lite_only
def test_other_operators_say_what_to_install():
    from mmcv.ops import deform_conv2d

    with pytest.raises(NotImplementedError, match=r"mmcv==2\.1\.0"):
        deform_conv2d(torch.ones(1, 1, 4, 4), torch.zeros(1, 18, 4, 4), torch.ones(1, 1, 3, 3), 1, 1)


def test_a_real_extension_wins(tmp_path):
    (tmp_path / "_ext.py").write_text("NAME = 'compiled'")
    install = "import hipdet.mmcv_lite, mmcv; hipdet.mmcv_lite.install()"
    code = f"{install}; mmcv.__path__.insert(0, {str(tmp_path)!r}); import mmcv._ext; print(mmcv._ext.NAME)"
    assert run(code).stdout.strip() == "compiled"


def test_installs_once():
    mmcv_lite.install()
    assert sum(type(finder).__name__ == "ExtensionFinder" for finder in sys.meta_path) == 1


BROKEN_TORCHVISION = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == 'torchvision':
            raise RuntimeError('operator torchvision::nms does not exist')
sys.meta_path.insert(0, Broken())
import hipdet.plugin
from mmengine.utils.dl_utils import collect_env
collect_env()
import torch
from mmcv.ops import nms
kept = nms(torch.tensor([[0., 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]]), torch.tensor([.8, .9, .1]), 0.5)[1]
print(kept.tolist())
"""


def test_a_torchvision_that_does_not_import_is_treated_as_missing():
    found = run(BROKEN_TORCHVISION)
    assert found.stdout.strip().endswith("[1, 2]"), found.stderr


def brute_force_nms(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou_matrix([boxes[i]], [boxes[k]])[0, 0] <= threshold for k in kept):
            kept.append(i)
    return kept


@given(st.integers(0, 2**31), st.integers(0, 12), st.sampled_from([0.0, 0.3, 0.5]))
@settings(max_examples=60, deadline=None)
def test_nms_against_brute_force(seed, count, threshold):
    generator = np.random.default_rng(seed)
    corner, side = generator.uniform(0, 40, (count, 2)), generator.uniform(5, 30, (count, 2))
    boxes, scores = np.concatenate([corner, corner + side], axis=1), generator.permutation(count) / 20
    found = mmcv_lite._torch_nms(torch.tensor(boxes), torch.tensor(scores), threshold, 0)
    assert found.tolist() == brute_force_nms(boxes, scores, threshold)


def test_nms_with_mmcvs_pixel_offset():
    # 10 px wide with offset 1: [0, 9] and [5, 14] overlap 5 of 15 columns, IoU 1/3
    boxes, scores = torch.tensor([[0.0, 0, 9, 9], [5.0, 0, 14, 9]]), torch.tensor([0.9, 0.8])
    assert mmcv_lite._torch_nms(boxes, scores, 0.33, 1).tolist() == [0]
    assert mmcv_lite._torch_nms(boxes, scores, 0.34, 1).tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["evaluation.roi_metric", "export.torch_model", "engine.hooks", "models.hip_ssd_head", "cli.train"]
)
def test_modules_that_import_mmdet_need_nothing_imported_before(name):
    done = run(f"import hipdet.{name}; print('there')")
    assert done.stdout.split()[-1:] == ["there"], done.stderr
