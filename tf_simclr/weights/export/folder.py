"""Exports of a network, and their folder: each export is whole or not there."""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Mapping

from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing
from tf_simclr.data.decoding import AS_ORIGINAL, Decoding
from tf_simclr.errors import UserError
from tf_simclr.evaluation.novelty import Novelty
from tf_simclr.files import write_json
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.training.run_record import (
    RECORD_FILE,
    RunRecord,
    read_record,
)
from tf_simclr.training.same_run import same_run
from tf_simclr.weights.stored import TEMPERATURE


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A network with all that its export tells about it.

    Attributes:
      network: with its weights; may live on several devices.
      record: that of its run; for weights that no run of this project made,
        one with `weights`.
      step: training steps behind the weights.
      scores: its last evaluation, as in `result.json`; empty if unknown. Under
        TEMPERATURE, what the evaluation fitted, where it says something.
      novelty: what that of images is measured by; None where it is not known.
    """

    network: SimCLRNetwork
    record: RunRecord
    step: int
    scores: Mapping[str, float]
    novelty: Novelty | None = None

    @property
    def image_size(self) -> int:
        """Side of the images that it was trained on."""
        return self.record.config["image_size"]

    @property
    def decoding(self) -> Decoding:
        """The decoding of the images that it was trained on."""
        # Records of version 0.1.0 have neither.
        alpha = self.record.config.get("alpha", AS_ORIGINAL.alpha)
        return Decoding(alpha, self.record.dataset.bits or AS_ORIGINAL.bits)

    @property
    def framing(self) -> Framing:
        """The framing of the images that it was scored on."""
        stored, default = self.record.config, ORIGINAL_FRAMING
        return Framing(
            stored.get("eval_crop", default.crop),
            stored.get("antialias", default.antialias),
        )

    @property
    def temperature(self) -> float | None:
        """The divisor of logits for calibrated probabilities; None where no
        evaluation has fitted it."""
        return self.scores.get(TEMPERATURE)

    @property
    def classifies(self) -> bool:
        """True if it has learned classes.

        The online classifier of pretraining only shows its progress.
        """
        return bool(
            self.network.architecture.num_classes
            and self.record.stage != "pretrain"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes it has learned; numbers where unnamed."""
        if not self.classifies:
            return ()
        return self.record.dataset.class_names or tuple(
            map(str, range(self.network.architecture.num_classes))
        )


RESULT_FILE = "result.json"
_PARTIAL = re.compile(r"\.\d+\.(partial|old)")


class ExportFolder:
    """`model_dir/FORMAT`, which holds the exports of one run.

    Args:
      path: the folder.
      record: of the run.
      keep: how many exports stay: the new one, and those of the highest
        steps.
      in_place: whether `model_dir` is known to hold the run of `record`.
    """

    def __init__(
        self,
        path: str,
        record: RunRecord,
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
            # Hidden files are of systems that show folders.
            if name.startswith("."):
                continue
            path = os.path.join(self._path, name)
            if not self._is_own(path):
                raise UserError(
                    f"{path} is in use: it is no export of this run. Choose"
                    " another --model_dir, or remove it."
                )

    def _is_own(self, path: str) -> bool:
        """True if an entry of the folder is an export of this run."""
        try:
            found = read_record(path)
        except UserError:
            return False
        return found is not None and same_run(
            found, self._record, in_place=self._in_place
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
            record_path = os.path.join(temporary, RECORD_FILE)
            write_json(record_path, self._record.to_json())
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
