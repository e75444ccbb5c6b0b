"""Staged one-cycle training, steady loading, exact resuming, safe and matching checkpoints."""

from hipdet.training.bfloat16_optim_wrapper import Bfloat16OptimWrapper
from hipdet.training.checkpoint_loader import load_safetensors
from hipdet.training.epoch_seed_hook import EpochSeedHook
from hipdet.training.layer_groups import LayerGroupOptimWrapperConstructor
from hipdet.training.matching_checkpoint_hook import MatchingCheckpointHook
from hipdet.training.possible_rois_hook import PossibleRoisHook
from hipdet.training.safe_checkpoint_hook import SafeCheckpointHook
from hipdet.training.staged_one_cycle_hook import StagedOneCycleHook
from hipdet.training.steady_train_loop import SteadyTrainLoop

__all__ = [
    "Bfloat16OptimWrapper",
    "EpochSeedHook",
    "LayerGroupOptimWrapperConstructor",
    "MatchingCheckpointHook",
    "PossibleRoisHook",
    "SafeCheckpointHook",
    "StagedOneCycleHook",
    "SteadyTrainLoop",
    "load_safetensors",
]
