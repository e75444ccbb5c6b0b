"""A stage computes no gradients that it doesn't need."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from hipdet.engine.schedule import LayerGroupOptimWrapperConstructor, StagedOneCycleHook
from tool_runs import REPOSITORY


def convolutions_in_backward(loss):
    """Nodes of the autograd graph below `loss` that are convolutions."""
    seen, waiting, count = set(), [loss.grad_fn], 0
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        count += type(node).__name__.startswith("ConvolutionBackward")
        waiting += [each for each, _ in node.next_functions]
    return count


# the head has 3; layer3 and layer4 of a ResNet-18 have two blocks of 2 and a shortcut each; all of it has 20
@pytest.mark.parametrize(("stage", "expected"), [(0, 3), (1, 3 + 2 * 5), (2, 3 + 20)])
def test_backward_ends_where_training_ends(stage, expected):
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py").model).train()
    recipe = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    settings = dict(type="OptimWrapper", optimizer=recipe.optim_wrapper.optimizer)
    wrapper = LayerGroupOptimWrapperConstructor(settings, recipe.optim_wrapper.paramwise_cfg)(model)
    hook = StagedOneCycleHook(recipe.custom_hooks[0].stages)
    hook.starts = [0, 1, 2, 3]
    logger = MMLogger.get_instance("stage_work", log_level="ERROR")
    hook.before_train_epoch(SimpleNamespace(epoch=stage, optim_wrapper=wrapper, model=model, logger=logger))
    labels = DetDataSample(metainfo=dict(img_shape=(224, 224), scale_factor=(1.0, 1.0)))
    labels.gt_instances = InstanceData(bboxes=torch.tensor([[40.0, 60, 90, 110]]), labels=torch.zeros(1).long())
    batch = dict(inputs=[torch.rand(1, 224, 224) * 255] * 2, data_samples=[labels, labels.clone()])
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    loss, _ = model.parse_losses(losses)
    assert convolutions_in_backward(loss) == expected
    loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all(name.startswith("backbone") for name in without)
    assert bool(without) == (stage < 2)
