"""Names that people give the parts of a data set."""

import re
from collections.abc import Iterable, Sequence

# The splits, in the order in which they are listed.
SPLITS = ("train", "validation", "test")
# A word that stands for a split -> its name.
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "learn", "trainval"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "validating", "dev"),
        "validation",
    ),
    **dict.fromkeys(("devel", "development", "eval"), "validation"),
    **dict.fromkeys(("evaluation", "evaluate"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
# Words beside it that say nothing.
_EMPTY_WORDS = {
    *("set", "sets", "split", "splits", "part", "data", "dataset", "datasets"),
    *("image", "images", "img", "imgs", "pic", "pics", "picture", "pictures"),
    *("photo", "photos", "frame", "frames", "file", "files", "folder", "dir"),
    *("seg", "segmentation", "crop", "crops", "cropped", "raw"),
    *("jpg", "jpeg", "jpegs", "png"),
}
_LABELLED_WORDS = {"labeled", "labelled", "annotated", "supervised"}
_UNLABELLED_WORDS = {
    *("unlabeled", "unlabelled", "unannotated", "unsupervised", "unsup"),
    *("nolabel", "nolabels", "unlabel"),
}
# "un-labeled", "no_labels", "without labels".
_NEGATIONS = {"un", "no", "non", "not", "without"}
_NEGATED = _LABELLED_WORDS | {"label", "labels"}


def words_of(name: str) -> list[str]:
    """The words and numbers of a name: `seg_Train2017` -> seg, train, 2017.

    Args:
      name: of a folder or of a file without its extension.
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).casefold()
    found = re.findall(r"[^\W\d_]+|\d+", name)
    # "hold_out", "held-out"
    joined = re.sub(r"\b(hold|held) out\b", r"\1out", " ".join(found))
    return [part for word in joined.split() for part in _parted(word)]


def split_of(name: str) -> str | None:
    """The split that a name stands for; None if it stands for none.

    `train`, `Training`, `test_set`, `seg_train` and `val2017` do; `car`,
    `test_tube` and `train_or_test` do not.

    Args:
      name: of a folder, or what a table says.
    """
    return _only_split(words_of(name))


def splits_of(names: Sequence[str]) -> dict[str, str | None]:
    """{name: the split it stands for, or None} of things that lie side by
    side.

    Where all of them stand for one but for words that all of them have, those
    words say nothing: `flowers_train` and `flowers_test` are splits.

    Args:
      names: different ones.
    """
    words = {name: words_of(name) for name in names}
    found = {name: _only_split(words[name]) for name in names}
    if len(names) > 1 and not all(found.values()):
        shared = set.intersection(*map(set, words.values()))
        without = {
            name: _only_split([w for w in words[name] if w not in shared])
            for name in names
        }
        if all(without.values()):
            return without
    return found


def split_words(name: str) -> set[str]:
    """All the splits that words of a file's name stand for."""
    words = words_of(name)
    return {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}


def is_unlabelled(name: str) -> bool:
    """True if a folder's name says that its images have no label."""
    words = _without_empty(words_of(name))
    if len(words) > 1 and words[0] in _NEGATIONS:
        return len(words) == 2 and words[1] in _NEGATED
    return len(words) == 1 and words[0] in _UNLABELLED_WORDS


def is_labelled(name: str) -> bool:
    """True if a folder's name says only that its images have labels."""
    words = _without_empty(words_of(name))
    return len(words) == 1 and words[0] in _LABELLED_WORDS


def is_empty(name: str) -> bool:
    """True if a folder's name says nothing: `images`, `data` and the like."""
    return not _without_empty(words_of(name))


def in_order(splits: Iterable[str]) -> list[str]:
    """Names of splits in the order in which they are listed."""
    return sorted(splits, key=SPLITS.index)


def _parted(word: str) -> list[str]:
    """`trainset` -> train, set."""
    for end in ("set", "data", "images", "imgs", "split"):
        start = word.removesuffix(end)
        if start != word and start in (*_SPLIT_WORDS, *_UNLABELLED_WORDS):
            return [start, end]
    return [word]


def _without_empty(words: Iterable[str]) -> list[str]:
    return [w for w in words if w not in _EMPTY_WORDS and not w.isdecimal()]


def _only_split(words: Sequence[str]) -> str | None:
    left = _without_empty(words)
    return _SPLIT_WORDS.get(left[0]) if len(left) == 1 else None
