# The paper's experiment 3 with a ResNet-18, without a GPU: a third of the time of ResNet-101.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips_augmented.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

model = dict(
    backbone=dict(
        depth=18,
        init_cfg=dict(
            checkpoint="https://download.pytorch.org/models/resnet18-f37072fd.pth",
            sha256="f37072fd",
            source=dict(depth=18, blocks=(2, 2, 2, 2)),
        ),
    ),
    bbox_head=dict(in_channels=512),
)
# the step of a CPU with bfloat16 takes a third of the time; in float32 without it
optim_wrapper = dict(type="Bfloat16OptimWrapper")
