"""Choice of images to label: each way, and the same every time."""

import numpy as np
import pytest

from tf_simclr.errors import UserError
from tf_simclr.labels import choose, clusters
from tf_simclr.labels.choose import CHOICES, Pool, suggest_images
from tf_simclr.labels.clusters import find_clusters

NONE = np.array([], np.int64)
GROUPS, EACH = 6, 30
TRUE = np.arange(GROUPS * EACH) % GROUPS


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """float32 (180, 16): six clouds; the first image of each is its middle."""
    rng = np.random.default_rng(0)
    centers = np.linalg.qr(rng.normal(size=(16, 16)))[0][:GROUPS]
    noise = 0.05 * rng.normal(size=(GROUPS * EACH, 16))
    noise[:GROUPS] = 0
    return (centers[TRUE] + noise).astype(np.float32)


def pool(features, places=NONE, excluded=NONE) -> Pool:
    names = tuple(f"class {number}" for number in range(GROUPS))
    return Pool(features, places, TRUE[places], names, excluded)


def chosen(*arguments) -> list[int]:
    return [each.place for each in suggest_images(*arguments)]


@pytest.mark.parametrize("method", CHOICES)
def test_as_many_as_asked_for_and_the_same_again(features, method):
    known = np.array([0, 7, 60])
    images = pool(features, known, np.array([1, 2]))
    found = suggest_images(method, images, 20, 3)
    places = [each.place for each in found]
    assert len(set(places)) == 20
    assert not set(places) & {0, 7, 60, 1, 2}
    assert found == suggest_images(method, images, 20, 3)
    assert [x.cluster for x in found] == sorted(x.cluster for x in found)
    assert all(each.reason for each in found)
    # No more than there are.
    assert len(chosen(method, images, 1000, 3)) == len(features) - 5
    assert chosen(method, pool(features, np.arange(180)), 5, 0) == []


@pytest.mark.parametrize("method", ["typiclust", "kmeans", "probcover"])
def test_every_group_is_chosen_from(features, method):
    places = chosen(method, pool(features), GROUPS, 0)
    assert sorted(TRUE[places]) == list(range(GROUPS))
    # Rounds go where no label is.
    known = np.flatnonzero(TRUE < 3)[:9]
    places = chosen(method, pool(features, known), 3, 0)
    assert sorted(TRUE[places]) == [3, 4, 5]


@pytest.mark.parametrize("method", ["typiclust", "kmeans"])
def test_the_middle_of_a_group_is_chosen(features, method):
    assert sorted(chosen(method, pool(features), GROUPS, 0)) == [*range(GROUPS)]


def test_large_groups_come_first(features):
    """Of two groups without a label, one has 12 images, the other all 30."""
    rest = np.sort(
        np.concatenate(
            [np.flatnonzero(TRUE == 0)[:12], np.flatnonzero(TRUE > 0)]
        )
    )
    known = np.searchsorted(rest, [1, 2, 3, 4, 10])
    images = Pool(features[rest], known, TRUE[rest[known]], ("a",) * GROUPS)
    (place,) = chosen("typiclust", images, 1, 0)
    assert TRUE[rest[place]] == 5


def test_small_groups_are_chosen_when_others_are_used_up(features, monkeypatch):
    """All of the large groups have a label; of the small one, none has."""
    rest = np.sort(
        np.concatenate(
            [np.flatnonzero(TRUE == 0)[:3], np.flatnonzero(TRUE > 0)]
        )
    )
    monkeypatch.setattr(choose, "_MOST_CLUSTERS", GROUPS)
    known = np.flatnonzero(TRUE[rest] > 0)
    images = Pool(features[rest], known, TRUE[rest[known]], ("a",) * GROUPS)
    (place,) = chosen("kmeans", images, 1, 0)
    assert TRUE[rest[place]] == 0


def test_the_least_certain_lie_between_classes(features):
    middle = features[0] + features[1]
    images = np.concatenate([features, [middle / np.linalg.norm(middle)]])
    found = suggest_images(
        "uncertain",
        Pool(images, np.arange(6), TRUE[:6], tuple("abcdef")),
        1,
        0,
    )
    assert [each.place for each in found] == [len(features)]
    assert found[0].reason.startswith(("a (0.", "b (0."))
    with pytest.raises(UserError, match="needs labels of at least two classes"):
        suggest_images("uncertain", pool(features, np.array([0])), 1, 0)


def test_copies_make_fewer_clusters(features):
    same = np.repeat(features[:1], 40, axis=0)
    assert len(set(chosen("kmeans", pool(same), 10, 0))) == 10


def test_many_images_are_clustered_in_parts(features, monkeypatch):
    """As good as all at once, whatever the type, and of a file on disk."""
    whole = find_clusters(features, GROUPS, 0)
    monkeypatch.setattr(clusters, "_WHOLE", 60)
    monkeypatch.setattr(clusters, "_SAMPLED", 10)
    monkeypatch.setattr(clusters, "_BATCH", 50)
    parts = find_clusters(features.astype(np.float16), GROUPS, 0)
    for found in (whole, parts):
        assert sorted(found.sizes) == [EACH] * GROUPS
        # One cluster for each group.
        pairs = set(zip(TRUE, found.members, strict=True))
        assert len(pairs) == GROUPS
        assert np.all(found.distances < 0.5)


def test_of_many_images_a_sample_is_compared(features, monkeypatch):
    monkeypatch.setattr(choose, "_SAMPLED", 50)
    monkeypatch.setattr(choose, "_COMPARED", 10)
    for method in CHOICES:
        images = pool(features, np.array([0, 1, 2]))
        assert len(chosen(method, images, 12, 0)) == 12
