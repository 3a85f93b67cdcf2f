"""What is exported, and the folder of exports: each whole or not there."""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from tf_simclr.config.paths import same_place
from tf_simclr.data.sources.identity import other_images
from tf_simclr.errors import UserError
from tf_simclr.files import read_json, write_json
from tf_simclr.models.network import SimCLRNetwork


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A network with all that its export tells about it.

    Attributes:
      network: with its weights; may live on several devices.
      record: as in a run's `config.json`: `stage`, `architecture`, `dataset`
        (`name`, `class_names`), `labels`, `config` (the flags) and, for
        weights that no run of this project made, `weights` (`kind`, `path`).
      step: training steps behind the weights.
      scores: its last evaluation, as in `result.json`; empty if unknown.
    """

    network: SimCLRNetwork
    record: Mapping[str, Any]
    step: int
    scores: Mapping[str, float]

    @property
    def image_size(self) -> int:
        """Side of the images that it was trained on."""
        return self.record["config"]["image_size"]

    @property
    def classifies(self) -> bool:
        """Whether it has learned classes.

        The online classifier of pretraining only shows its progress.
        """
        return bool(
            self.network.architecture.num_classes
            and self.record["stage"] != "pretrain"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes it has learned; numbers where unnamed."""
        if not self.classifies:
            return ()
        return tuple(self.record["dataset"]["class_names"]) or tuple(
            map(str, range(self.network.architecture.num_classes))
        )


RECORD_FILE = "config.json"
RESULT_FILE = "result.json"
# Parts of a record that tell one run from another, and flags that do.
_IDENTITY = ("stage", "architecture")
_IDENTITY_FLAGS = ("seed",)
# Tells runs in different folders apart, as `model_dir` does; those in one
# folder are one run, however the choice of its labels was written.
_ELSEWHERE = ("labels",)
_PARTIAL = re.compile(r"\.\d+\.(partial|old)")


class ExportFolder:
    """`model_dir/FORMAT`, which holds the exports of one run.

    Args:
      path: the folder.
      record: of the run, as in its `config.json`.
      keep: how many exports stay: the new one, and those of the highest
        steps.
      in_place: whether `model_dir` is known to hold the run of `record`.
    """

    def __init__(
        self,
        path: str,
        record: Mapping[str, Any],
        keep: int = 1,
        in_place: bool = False,
    ):
        self._path = path
        self._record = record
        self._keep = keep
        self._in_place = in_place

    def check(self) -> None:
        """Refuses a folder that somebody else uses.

        Raises:
          UserError: names what is there.
        """
        if not os.path.exists(self._path):
            return
        if not os.path.isdir(self._path):
            raise UserError(f"{self._path} is in use: it is not a folder.")
        for name in sorted(os.listdir(self._path)):
            if _PARTIAL.fullmatch(name):
                continue
            path = os.path.join(self._path, name)
            found = read_record(path)
            if not same_run(found, self._record, in_place=self._in_place):
                raise UserError(
                    f"{path} is in use: it is no export of this run. Choose"
                    " another --model_dir, or remove it."
                )

    @contextlib.contextmanager
    def writing(self, step: int, scores: Mapping[str, float]) -> Iterator[str]:
        """A temporary folder, which becomes `path/STEP` if all goes well.

        An export of the same step is replaced, others beyond `keep` are
        removed, and so is what an interrupted export left behind.
        """
        self.check()
        os.makedirs(self._path, exist_ok=True)
        for name in os.listdir(self._path):
            if _PARTIAL.fullmatch(name):
                shutil.rmtree(os.path.join(self._path, name))
        path = os.path.join(self._path, str(step))
        temporary = os.path.join(self._path, f".{step}.partial")
        try:
            os.mkdir(temporary)
            yield temporary
            write_json(os.path.join(temporary, RECORD_FILE), dict(self._record))
            if scores:
                write_json(os.path.join(temporary, RESULT_FILE), dict(scores))
            old = os.path.join(self._path, f".{step}.old")
            if os.path.exists(path):
                os.rename(path, old)
            os.rename(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        others = sorted(int(n) for n in os.listdir(self._path) if n.isdigit())
        others.remove(step)
        for other in others[: max(0, len(others) + 1 - self._keep)]:
            shutil.rmtree(os.path.join(self._path, str(other)))


def read_record(export: str) -> dict[str, Any] | None:
    """What the `config.json` of an export or a run holds, if it has one."""
    path = os.path.join(export, RECORD_FILE)
    return read_json(path) if os.path.isfile(path) else None


def same_run(
    first: Mapping[str, Any] | None,
    second: Mapping[str, Any],
    *,
    in_place: bool = False,
) -> bool:
    """Whether two records come from one run, at whatever step.

    Args:
      first, second: as in `config.json`.
      in_place: whether both lie in one `model_dir`.
    """
    return first is not None and (
        _identity(first, in_place) == _identity(second, in_place)
        and not other_images(_dataset(first), _dataset(second))
        and all(
            map(same_place, _places(first, in_place), _places(second, in_place))
        )
    )


def _identity(record: Mapping[str, Any], in_place: bool) -> list[Any]:
    config = record.get("config", {})
    keys = _IDENTITY if in_place else _IDENTITY + _ELSEWHERE
    return [
        record.get("weights", {}).get("kind"),
        *(record.get(key) for key in keys),
        *(config.get(flag) for flag in _IDENTITY_FLAGS),
    ]


def _dataset(record: Mapping[str, Any]) -> dict[str, Any]:
    # Classes may be named anew.
    return {**record.get("dataset", {}), "class_names": None}


def _places(record: Mapping[str, Any], in_place: bool) -> list[str | None]:
    places = [record.get("weights", {}).get("path")]
    if not in_place:
        places.append(record.get("config", {}).get("model_dir"))
    return places
