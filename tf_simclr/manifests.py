"""Manifests, which declare the checkpoints of a run whole.

A checkpoint is `ckpt-STEP.index` and `ckpt-STEP.data-*`, as TensorFlow writes
them, and `ckpt-STEP.manifest.json`, which is written last: a checkpoint
without it is none.
"""

import contextlib
import dataclasses
import math
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tf_simclr.files import read_json, to_disk, write_json, write_text
from tf_simclr.process import cached

_SUFFIX = ".manifest.json"
# TensorFlow's own list of checkpoints.
_STATE_FILE = "checkpoint"
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Contents of `ckpt-STEP.manifest.json`.

    Attributes:
      step: steps behind the checkpoint.
      files: {file name: {"bytes": size, "crc32": checksum}}.
      summed_from: the step after which `sums` begin.
      sums: {metric: its sum over the steps not yet logged}.
      score: {metric: value} by which checkpoints are compared; empty where
        the step was not evaluated.
      planned: False for what only an interruption saved, which is not kept
        beyond the next one.
      scored_on: the identity of the images that the score is of; None without
        a score, or where an earlier version of this project wrote it.
    """

    step: int
    files: dict[str, dict[str, Any]]
    summed_from: int
    sums: dict[str, float]
    score: dict[str, float]
    planned: bool = True
    scored_on: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
    """The checkpoint to go on from.

    Attributes:
      step: its step; None if there is none.
      passed_over: for each newer one that cannot be used, its file and why.
      has_manifest: False for one of an earlier version of this project.
    """

    step: int | None
    passed_over: tuple[str, ...]
    has_manifest: bool = True


def prefix(folder: str, step: int) -> str:
    """Common beginning of the paths of a checkpoint's files."""
    return os.path.join(folder, f"ckpt-{step}")


def write_manifest(
    folder: str,
    step: int,
    *,
    summed_from: int | None = None,
    sums: Mapping[str, float] | None = None,
    score: Mapping[str, float] | None = None,
    scored_on: Mapping[str, Any] | None = None,
    planned: bool = True,
) -> None:
    """Declares the files of a checkpoint, which have been written, complete."""
    files = {}
    for name in _files(folder, step):
        path = os.path.join(folder, name)
        to_disk(path)
        files[name] = _known_fingerprint(path)
    manifest = Manifest(
        step=step,
        files=files,
        summed_from=step if summed_from is None else summed_from,
        sums=dict(sums or {}),
        score=dict(score or {}),
        planned=planned,
        scored_on=dict(scored_on) if score and scored_on else None,
    )
    write_json(prefix(folder, step) + _SUFFIX, dataclasses.asdict(manifest))


def set_score(
    folder: str,
    step: int,
    score: Mapping[str, float],
    scored_on: Mapping[str, Any] | None = None,
) -> None:
    """Adds the score to the manifest of a checkpoint that has one."""
    scored = dataclasses.replace(
        read_manifest(folder, step),
        score=dict(score),
        scored_on=dict(scored_on) if score and scored_on else None,
    )
    write_json(prefix(folder, step) + _SUFFIX, dataclasses.asdict(scored))


def read_manifest(folder: str, step: int) -> Manifest:
    """Reads a manifest.

    Raises:
      OSError, ValueError: there is none, or it cannot be read.
    """
    try:
        found = Manifest(**read_json(prefix(folder, step) + _SUFFIX))
    except TypeError as error:
        raise ValueError(f"it is no manifest: {error}") from error
    return dataclasses.replace(
        found,
        # JSON has null for a sum that overflowed.
        sums={k: math.inf if v is None else v for k, v in found.sums.items()},
        # Earlier versions wrote NaN where no image had a label.
        score={
            k: v
            for k, v in found.score.items()
            if v is not None and math.isfinite(v)
        },
    )


def is_manifest(name: str) -> bool:
    """True for the name of a file that says that a checkpoint is whole."""
    return name.endswith(_SUFFIX)


def manifest_steps(folder: str) -> list[int]:
    """Ascending steps of the checkpoints that have a manifest."""
    return _steps(folder, re.escape(_SUFFIX))


def problem(folder: str, step: int) -> str:
    """The reason that a checkpoint cannot be used; '' if it is whole.

    All its bytes are read.
    """
    return _problem(folder, step, _fingerprint)


def _problem(
    folder: str, step: int, fingerprint: Callable[[str], dict[str, Any]]
) -> str:
    name = os.path.basename(prefix(folder, step))
    if not os.path.exists(prefix(folder, step) + _SUFFIX):
        return f"{name} is incomplete: it has no {name}{_SUFFIX}"
    try:
        files = read_manifest(folder, step).files
    except (OSError, ValueError) as error:
        return f"{name}{_SUFFIX} cannot be read: {error}"
    for file, expected in files.items():
        path = os.path.join(folder, file)
        if not os.path.exists(path):
            return f"{file} is missing"
        try:
            found = fingerprint(path)
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}"
        for key, value in expected.items():
            if found[key] != value:
                return (
                    f"{file} is damaged: its {key} is {found[key]}, not {value}"
                )
    return ""


def newest_whole(folder: str) -> Choice:
    """The newest checkpoint that is whole.

    In a folder without any manifest it is the one that TensorFlow's own state
    file names: earlier versions of this project wrote no manifests.
    """
    if not os.path.isdir(folder):
        return Choice(None, ())
    if not manifest_steps(folder):
        named = _step_in_state_file(folder)
        if named is not None:
            return Choice(named, (), has_manifest=False)
    passed_over = []
    for step in reversed(_steps(folder, r"\.\S+")):
        reason = problem(folder, step)
        if not reason:
            return Choice(step, tuple(passed_over))
        passed_over.append(reason)
    return Choice(None, tuple(passed_over))


def kind_of_score(
    score: Mapping[str, float], scored_on: Mapping[str, Any] | None
) -> Any:
    """Equal for scores that can be compared: one metric of the same images."""
    return list(score), scored_on and dict(scored_on)


def best_scored(folder: str, kind: Any = None) -> Manifest | None:
    """The manifest with the highest score of those whose checkpoints are
    whole, the earliest of equals.

    Args:
      folder: of the checkpoints.
      kind: which scores count, see `kind_of_score`; None: those that can be
        compared with the newest one.
    """
    scored = [
        (kind_of_score(manifest.score, manifest.scored_on), manifest)
        for manifest in whole(folder)
        if manifest.score
    ]
    if kind is None and scored:
        kind = scored[-1][0]
    same = [manifest for its, manifest in scored if its == kind]
    return max(same, key=_score, default=None)


def steps_to_keep(folder: str, step: int, count: int) -> list[int]:
    """Steps of the checkpoints that stay once that of `step` has been saved.

    Returns:
      Ascending steps: `step`, the newest `count` of those that were planned,
      and the best one. A damaged checkpoint is none of them.
    """
    best = best_scored(folder)
    planned = [m.step for m in whole(folder) if m.planned]
    newest = [other for other in planned if other <= step][-count:]
    return sorted({step, *newest, *([best.step] if best else [])})


def write_state_file(folder: str, steps: Sequence[int]) -> None:
    """Writes the file that `tf.train.latest_checkpoint` reads.

    Args:
      folder: of the checkpoints.
      steps: ascending, those that there are.
    """
    names = [f"ckpt-{step}" for step in steps]
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    write_text(os.path.join(folder, _STATE_FILE), "\n".join(lines) + "\n")


def remove_checkpoint(folder: str, step: int) -> None:
    """Removes all files of a checkpoint, its manifest first."""
    names = [f"ckpt-{step}{_SUFFIX}", *_files(folder, step)]
    for name in names:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            os.remove(path)
    shutil.rmtree(prefix(folder, step) + "_temp", ignore_errors=True)


def remove_all_but(folder: str, steps: Sequence[int]) -> None:
    """Removes other checkpoints, and what is left of unfinished ones."""
    for step in _steps(folder, r"[._]\S+"):
        if step not in steps:
            remove_checkpoint(folder, step)


def whole(folder: str) -> Iterator[Manifest]:
    """The manifests of the checkpoints that are whole, by ascending step.

    A file's bytes are read again only after it has been written to.
    """
    for step in manifest_steps(folder):
        if not _problem(folder, step, _known_fingerprint):
            with contextlib.suppress(OSError, ValueError):
                yield read_manifest(folder, step)


def _score(manifest: Manifest) -> float:
    return next(iter(manifest.score.values()))


def _steps(folder: str, suffix: str) -> list[int]:
    found = (
        re.fullmatch(rf"ckpt-(\d+){suffix}", name)
        for name in os.listdir(folder)
    )
    return sorted({int(match[1]) for match in found if match})


def _files(folder: str, step: int) -> list[str]:
    pattern = re.compile(rf"ckpt-{step}\.(index|data-\S+)")
    return sorted(filter(pattern.fullmatch, os.listdir(folder)))


def _fingerprint(path: str) -> dict[str, Any]:
    size, checksum = 0, 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    return {"bytes": size, "crc32": f"{checksum:08x}"}


def _known_fingerprint(path: str) -> dict[str, Any]:
    found = os.stat(path)
    return _fingerprint_at(path, found.st_ino, found.st_size, found.st_mtime_ns)


@cached(maxsize=256)
def _fingerprint_at(path: str, *_: int) -> dict[str, Any]:
    """The fingerprint of a file in the state that the numbers stand for."""
    return _fingerprint(path)


def _step_in_state_file(folder: str) -> int | None:
    path = os.path.join(folder, _STATE_FILE)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        named = re.search(
            r'^model_checkpoint_path: "\S*ckpt-(\d+)"', file.read(), re.M
        )
    if named and os.path.exists(prefix(folder, int(named[1])) + ".index"):
        return int(named[1])
    return None
