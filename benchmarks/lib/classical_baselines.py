"""Classical classifiers, the usual choice on few labels."""

import functools

import numpy as np

# Principal components: of Fashion-MNIST's training images they keep 91 % of the
# variance (scikit-learn's `explained_variance_ratio_`).
COMPONENTS = 100
# Neighbours of LabelSpreading's graph: scikit-learn's default.
NEIGHBOURS = 7
# Among these, cross-validation on the labels chooses.
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
METHODS = {
    "logistic_regression": "logistic regression on PCA",
    "svm": "SVM on PCA",
    "label_spreading": "LabelSpreading (kNN) on PCA",
}


class ClassicalBaselines:
    """Classifiers on principal components of all training images.

    Args:
      train: (N, ...), the training images, with and without label.
      test: (M, ...), the images to score on.
      test_labels: int (M,).
    """

    def __init__(
        self, train: np.ndarray, test: np.ndarray, test_labels: np.ndarray
    ):
        from sklearn.decomposition import PCA

        rows = [_flat(images) for images in (train, test)]
        count = min(COMPONENTS, *rows[0].shape)
        pca = PCA(count, random_state=0).fit(rows[0])
        self._train, self._test = (pca.transform(part) for part in rows)
        self._test_labels = test_labels

    def scores(self, indices: np.ndarray, labels: np.ndarray) -> dict:
        """Top-1 accuracy of each method.

        Args:
          indices: (L,), which training images have labels.
          labels: int (L,), these labels.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import SVC

        features = self._train[indices]
        models = {
            "logistic_regression": (
                LogisticRegression(max_iter=2000),
                {"C": STRENGTHS},
            ),
            "svm": (SVC(), {"C": STRENGTHS}),
        }
        found = {
            name: self._accuracy(_chosen(model, grid, features, labels))
            for name, (model, grid) in models.items()
        }
        found["label_spreading"] = self._label_spreading(indices, labels)
        return found

    def _accuracy(self, model) -> float:
        return float(model.score(self._test, self._test_labels))

    def _label_spreading(
        self, indices: np.ndarray, labels: np.ndarray
    ) -> float:
        from sklearn.semi_supervised import LabelSpreading

        targets = np.full(len(self._train), -1)
        targets[indices] = labels
        # The graph is the same whatever the labels.
        model = LabelSpreading(kernel=lambda *_: self._graph, max_iter=100)
        model.fit(self._train, targets)
        # Unseen images take the mean of their neighbours' distributions.
        near = self._neighbours.kneighbors(self._test, return_distance=False)
        votes = model.label_distributions_[near].sum(axis=1)
        predicted = model.classes_[votes.argmax(axis=1)]
        return float(np.mean(predicted == self._test_labels))

    @functools.cached_property
    def _neighbours(self):
        from sklearn.neighbors import NearestNeighbors

        made = NearestNeighbors(n_neighbors=NEIGHBOURS, n_jobs=-1)
        return made.fit(self._train)

    @functools.cached_property
    def _graph(self):
        return self._neighbours.kneighbors_graph(self._train)


def _flat(images: np.ndarray) -> np.ndarray:
    """One row of numbers in [0, 1] for each image; gray ones once."""
    if images.ndim == 4 and np.all(images[..., :1] == images):
        images = images[..., 0]
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _chosen(model, grid: dict, features: np.ndarray, labels: np.ndarray):
    """The model with the strength that cross-validation on the labels takes;
    where a class has a single label, the default."""
    from sklearn.model_selection import GridSearchCV

    folds = min(5, int(np.bincount(labels).min()))
    if folds < 2:
        return model.fit(features, labels)
    return GridSearchCV(model, grid, cv=folds).fit(features, labels)
