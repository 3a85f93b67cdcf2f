"""Short runs of flags/fashion_mnist.cfg on parts of the training images.

Both probes are made of them; no test image is used.
"""

import pathlib

from benchmarks.lib.recipe_runs import recipe, run_program, stage_flags

RECIPE = recipe("fashion_mnist.cfg")
PROBED = "train[50000:]"
PARTS = f"--train_split=train[:20000] --eval_split={PROBED}"
SHORT = (
    "--train_batch_size=256 --train_epochs=6 --warmup_epochs=1"
    " --optimizer=adam --learning_rate=0.002 --temperature=0.5"
    " --nolineareval_while_pretraining"
)


def pretrain(flags: str, folder: pathlib.Path) -> None:
    """A short pretraining with a change, where it has not ended."""
    run_recipe("--mode=pretrain", *SHORT.split(), *flags.split(), folder=folder)


def run_recipe(*flags: str, folder: pathlib.Path) -> None:
    """Runs run.py with the recipe on the parts."""
    # Features are of one split, which a flag of its own names.
    parts = [] if "--mode=embed" in flags else PARTS.split()
    run_program(RECIPE, *parts, *flags, "--noexport", f"--model_dir={folder}")


def own_flags(stage: str) -> list[str]:
    """The recipe's flags of one stage."""
    return stage_flags(stage, RECIPE)


def label_flags(count: int, seed: int) -> list[str]:
    """The choice of `count` labels per class."""
    return [f"--labels_per_class={count}", f"--label_seed={seed}"]
