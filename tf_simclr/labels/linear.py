"""A linear classifier on features, and its predictions for all images."""

import numpy as np

from tf_simclr.evaluation.embeddings import unit

# Inverse strengths of the penalty, of which cross-validation chooses by the
# likelihood of the labels held out.
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
# Where a class has one label alone, nothing can be held out.
_WITHOUT_CHOICE = 10.0
_FOLDS = 5
_STEPS = 2000
_ROWS = 65_536


def linear_probabilities(
    features: np.ndarray,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Logistic regression on features of length 1.

    Args:
      features: (N, d).
      places: int (L,), the rows with a label.
      labels: int (L,), of at least two classes.
      num_classes: C.

    Returns:
      float32 (N, C); 0 for classes without a label.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    rows = unit(np.asarray(features[places], np.float64))
    model = LogisticRegression(C=_WITHOUT_CHOICE, max_iter=_STEPS)
    fewest = int(np.unique(labels, return_counts=True)[1].min())
    if fewest > 1:
        folds = StratifiedKFold(
            min(_FOLDS, fewest), shuffle=True, random_state=0
        )
        model = GridSearchCV(
            model, {"C": _STRENGTHS}, scoring="neg_log_loss", cv=folds
        )
    model.fit(rows, labels)
    found = np.zeros((len(features), num_classes), np.float32)
    for start in range(0, len(features), _ROWS):
        part = unit(np.asarray(features[start : start + _ROWS], np.float64))
        found[start : start + _ROWS, model.classes_] = model.predict_proba(part)
    return found
