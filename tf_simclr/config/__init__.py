"""Configuration: frozen dataclasses, the single source of every flag."""

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.config.compat import CompatConfig
from tf_simclr.config.consistency import ConsistencyConfig
from tf_simclr.config.data import DataConfig
from tf_simclr.config.model import ModelConfig
from tf_simclr.config.objective import ObjectiveConfig
from tf_simclr.config.optimizer import OptimizerConfig
from tf_simclr.config.output import OutputConfig
from tf_simclr.config.pipeline import PipelineConfig
from tf_simclr.config.run import Config, RunConfig
from tf_simclr.config.selection import SelectionConfig
from tf_simclr.config.train import TrainConfig

__all__ = [
    "AugmentConfig",
    "CompatConfig",
    "Config",
    "ConsistencyConfig",
    "DataConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "OutputConfig",
    "PipelineConfig",
    "RunConfig",
    "SelectionConfig",
    "TrainConfig",
]
