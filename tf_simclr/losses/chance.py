"""What a network that knows nothing scores: the levels to compare with."""

import math


def contrastive_chance(batch_size: int, memory: int = 0) -> dict[str, float]:
    """Levels of the contrastive metrics when all similarities are equal.

    Args:
      batch_size: N, images per step over all devices.
      memory: past embeddings among the negatives, once there are so many.

    Returns:
      `contrast_loss`: ln(2N - 1 + memory), that of the 2N - 1 other views of
      the batch and the memory. `contrast_acc`: 1/N, and `contrast_entropy`:
      ln N, since both look at the N second views of the batch only, as the
      original release does.
    """
    return {
        "contrast_loss": math.log(2 * batch_size - 1 + memory),
        "contrast_acc": 1.0 / batch_size,
        "contrast_entropy": math.log(batch_size),
    }


def has_top_5(num_classes: int) -> bool:
    """True if five different guesses can all be wrong."""
    return num_classes > 5


def classification_chance(num_classes: int) -> dict[str, float]:
    """Levels of a classifier that answers all classes alike.

    Returns:
      The cross-entropy with any target, ln C, and the accuracies of guessing;
      of five guesses only where there are more than 5 classes.
    """
    levels = {
        "supervised_loss": math.log(num_classes),
        "supervised_acc": 1.0 / num_classes,
        "eval/label_top_1_accuracy": 1.0 / num_classes,
    }
    if has_top_5(num_classes):
        levels["eval/label_top_5_accuracy"] = 5.0 / num_classes
    return levels
