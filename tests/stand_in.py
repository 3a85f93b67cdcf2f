"""A stand-in for run.py that trains nothing: scores follow from the flags."""

import json
import pathlib
from collections.abc import Callable

import numpy as np

from tf_simclr import cli
from tf_simclr.config import Config

# What the weights fix; a later stage may not contradict it.
ARCHITECTURE = ("resnet_depth", "width_multiplier", "sk_ratio")
TOP_1 = "eval/label_top_1_accuracy"


def stand_in(
    score: Callable[[Config], float],
    features: tuple[np.ndarray, np.ndarray] | None = None,
) -> Callable[..., None]:
    """A function of run.py's flags that leaves the files of a finished run.

    It refuses what run.py refuses: flags that are wrong, a network that is not
    that of the weights, a start from a run that is not there; and it refuses
    to score on test images.

    Args:
      score: what a run of one stage adds to the top-1 accuracy of the run
        that it starts or learns from.
      features: what `--mode=embed` finds, and the labels.
    """

    def program(*flags: str) -> None:
        config = cli.parse_config(["run.py", *flags])
        config.check()
        embeds = config.run.mode == "embed"
        scored = config.data.embed_split if embeds else config.data.eval_split
        assert scored.startswith("train["), flags
        inherited = 0.0
        if config.objective.checkpoint:
            stored = _stored(config.objective.checkpoint)
            assert stored["architecture"] == _architecture(config), flags
            inherited = stored[TOP_1]
        if config.objective.teacher:
            inherited = _stored(config.objective.teacher)[TOP_1]
        folder = pathlib.Path(config.run.model_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if embeds:
            found, labels = features
            np.savez(folder / "features.npz", features=found, labels=labels)
            return
        result = {
            TOP_1: inherited + score(config),
            "architecture": _architecture(config),
            "mode": config.run.mode,
        }
        (folder / "result.json").write_text(json.dumps(result))

    return program


def _stored(folder: str) -> dict:
    return json.loads(pathlib.Path(folder, "result.json").read_text())


def _architecture(config: Config) -> dict[str, object]:
    stored = {name: getattr(config.model, name) for name in ARCHITECTURE}
    cifar_stem = config.model.uses_cifar_stem(config.data.image_size)
    return {**stored, "cifar_stem": cifar_stem}
