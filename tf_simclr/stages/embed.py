"""Writing the features of a split."""

import os

import numpy as np

from tf_simclr.config.run import Config
from tf_simclr.data.sources.open import open_images
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.files import write_npz
from tf_simclr.stages.loaded import load_network
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import check_writable


def embed(config: Config) -> str:
    """Writes `features.npz` of `--embed_split` to `model_dir`.

    It holds `ids`, `features` (pooled encoder output), `projection` (last
    head layer), `labels` (-1 where unknown) and, with a classifier,
    `logits`, in dataset order.

    Returns:
      The file's path.
    """
    check_writable(config.run.model_dir)
    loaded = load_network(config)
    data = loaded.config.data
    images = open_images(data, data.embed_split)
    size = loaded.image_size(images)
    names = {"features": "final_avg_pool", "projection": "proj_head_output"}
    if loaded.network.classifier is not None:
        names["logits"] = "logits_sup"
    predict = Predictor(
        loaded.network,
        list(names.values()),
        image_size=size,
        batch_size=data.eval_batch_size,
    )
    found = predict(images)
    os.makedirs(config.run.model_dir, exist_ok=True)
    path = os.path.join(config.run.model_dir, "features.npz")
    write_npz(
        path,
        {
            "ids": np.array(images.ids),
            "labels": found["label"],
            **{ours: found[name] for ours, name in names.items()},
        },
    )
    say(f"{path}: {len(images)} images, {found['final_avg_pool'].shape[1]}-d")
    return path
