"""Weighted k-nearest-neighbour accuracy of features."""

import numpy as np

# The usual settings of the field (Wu et al., arXiv 1805.01978): similar
# neighbours weigh exp(cosine / 0.07).
TEMPERATURE = 0.07
NEIGHBOURS = 20
# Labelled images to search in; more costs time and changes little.
MAX_REFERENCES = 10_000


def knn_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    reference_features: np.ndarray,
    reference_labels: np.ndarray,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> float:
    """Top-1 accuracy of a vote of the most similar labelled images.

    Args:
      features: (N, d) of the images to classify.
      labels: (N,), -1 where unknown; those images do not count.
      reference_features: (M, d) of labelled images.
      reference_labels: (M,), all known.
      neighbours: k; capped at M.
      temperature: of the votes' weights exp(cosine / temperature).
    """
    from sklearn.neighbors import KNeighborsClassifier

    known = labels >= 0
    classifier = KNeighborsClassifier(
        n_neighbors=min(neighbours, len(reference_labels)),
        metric="cosine",
        weights=lambda distances: np.exp((1.0 - distances) / temperature),
    )
    classifier.fit(reference_features, reference_labels)
    return float(classifier.score(features[known], labels[known]))
