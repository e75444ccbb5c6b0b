"""The paper's experiments: facts, configs, runs and tables."""

from hipdet.experiments.experiment import EXPERIMENTS, Experiment
from hipdet.experiments.settings import settings

__all__ = ["EXPERIMENTS", "Experiment", "settings"]
