"""The record of a run: what its `config.json` holds."""

import dataclasses
import os
import platform
from collections.abc import Mapping
from typing import Any, Self

from tf_simclr import __version__
from tf_simclr.config.flat import to_flat
from tf_simclr.config.paths import with_absolute_paths
from tf_simclr.config.run import Config
from tf_simclr.data.same_image import Overlap
from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.models.network import Architecture

RECORD_FILE = "config.json"


class _Part:
    """JSON of a dataclass whose fields are optional.

    A field is None where the version that wrote the record did not know it.
    The field `other` holds the keys that this version does not know.
    """

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The part as it is stored, with keys missing or not."""
        names = {field.name for field in dataclasses.fields(cls)} - {"other"}
        known = {name: values[name] for name in names & values.keys()}
        other = {k: v for k, v in values.items() if k not in names}
        return cls(**known, other=other)

    def to_json(self) -> dict[str, Any]:
        """The part as it is stored; what is not known is left out."""
        known = {
            name: value
            for name, value in vars(self).items()
            if name != "other" and value is not None
        }
        return {**known, **self.other}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetRecord(_Part):
    """The images of a run.

    Attributes:
      name, train_split, image_size: the flags that named them.
      train_images: number of training images.
      ids: checksum of their ids and labels.
      content: that of their pictures; None where it is not known.
      class_names: names of the network's classes.
      other: keys that this version does not know.
    """

    name: str | None = None
    train_split: str | None = None
    image_size: int | None = None
    train_images: int | None = None
    ids: str | None = None
    content: str | None = None
    class_names: tuple[str, ...] | None = None
    bits: int | None = None
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The part as it is stored, with keys missing or not."""
        found = super().from_json(values)
        names = found.class_names
        if names is None:
            return found
        return dataclasses.replace(found, class_names=tuple(names))

    def to_json(self) -> dict[str, Any]:
        """The part as it is stored; what is not known is left out."""
        found = super().to_json()
        if self.class_names is not None:
            found["class_names"] = list(self.class_names)
        if self.ids is not None:
            # Always written beside the other checksum, null where unknown.
            found["content"] = self.content
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelsRecord(_Part):
    """The labelled subset of a run.

    Attributes:
      count: number of labels.
      labels_per_class, label_fraction, label_seed: the flags that chose it.
      label_ids: checksum of the ids, where `--label_ids` chose it.
      other: keys that this version does not know.
    """

    count: int | None = None
    labels_per_class: int | None = None
    label_fraction: float | None = None
    label_seed: int | None = None
    label_ids: str | None = None
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DerivedRecord(_Part):
    """Values that followed from flags, images and devices.

    Attributes:
      total_steps, warmup_steps, peak_learning_rate: the schedule.
      train_images: images that the stage trains on.
      parameters, trained_parameters: numbers of parameters of the network.
      devices: such as `1 GPU`.
      precision: the Keras policy that was trained in.
      scored_in: the type that scores are computed in.
      tf32: whether TensorFloat-32 was allowed.
      chance: {metric: its value for a network that knows nothing}.
      overlap: evaluation images among the training images.
      unequal_labels: {class: labelled images}, where their numbers are unequal.
      shrunk_to: the shorter side of the copies that training read; None: it
        read the files themselves.
      selected_on: the split whose scores decided which weights the run ends
        with, as `split`, and `of`, the identity of the images.
      other: keys that this version does not know.
    """

    total_steps: int | None = None
    warmup_steps: int | None = None
    peak_learning_rate: float | None = None
    train_images: int | None = None
    parameters: int | None = None
    trained_parameters: int | None = None
    devices: str | None = None
    precision: str | None = None
    scored_in: str | None = None
    tf32: bool | None = None
    chance: Mapping[str, float] | None = None
    overlap: Overlap | None = None
    unequal_labels: Mapping[str, int] | None = None
    shrunk_to: int | None = None
    selected_on: Mapping[str, Any] | None = None
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The part as it is stored, with keys missing or not."""
        found = super().from_json(values)
        if found.overlap is None:
            return found
        return dataclasses.replace(found, overlap=Overlap(**found.overlap))

    def to_json(self) -> dict[str, Any]:
        """The part as it is stored; what is not known is left out."""
        found = super().to_json()
        if self.overlap is not None:
            found["overlap"] = self.overlap.to_json()
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsRecord(_Part):
    """Weights that no run of this project made, in the record of an export.

    Attributes:
      kind: what wrote them.
      path: where they lie.
      other: keys that this version does not know.
    """

    kind: str | None = None
    path: str | None = None
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Contents of `config.json` of a run or of an export.

    Attributes:
      stage: pretrain, finetune or distill; '' where unknown.
      architecture: of the network; None where the record has none.
      dataset: its images.
      sources: flag -> fingerprint of the weights that the run starts or
        learns from; None where the version did not record it.
      labels: its labelled subset.
      config: {flag: value}, with absolute paths. Flags that came later are
        missing.
      weights: set for weights that no run of this project made.
      derived: steps, learning rate, parameter counts, ...
      versions: those that the results depend on.
      other: keys that this version does not know.
    """

    stage: str
    architecture: Architecture | None = None
    dataset: DatasetRecord = DatasetRecord()
    sources: Mapping[str, str] | None = None
    labels: LabelsRecord = LabelsRecord()
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: WeightsRecord | None = None
    derived: DerivedRecord = DerivedRecord()
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_run(
        cls,
        config: Config,
        stage: str,
        *,
        architecture: Architecture,
        dataset: DatasetRecord,
        sources: Mapping[str, str],
        labels: LabelsRecord,
        derived: DerivedRecord,
    ) -> Self:
        """The record of a run that starts now.

        Args:
          config: the resolved configuration.
          stage: pretrain, finetune or distill.
          architecture, dataset, sources, labels, derived: as in `RunRecord`.
        """
        return cls(
            stage=stage,
            architecture=architecture,
            dataset=dataset,
            sources=sources,
            labels=labels,
            config=with_absolute_paths(to_flat(config)),
            derived=derived,
            versions=versions(),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that `config.json` holds.

        Raises:
          ValueError: it is none, or one that this version cannot read.
        """
        if not isinstance(values, Mapping) or "stage" not in values:
            raise ValueError("it has no 'stage'")
        if values["stage"] not in _STAGES:
            raise ValueError(f"no stage is {values['stage']!r}")
        if not isinstance(values.get("config", {}), Mapping):
            raise ValueError("its 'config' has another form")
        names = {field.name for field in dataclasses.fields(cls)} - {"other"}
        known = {name: values[name] for name in names & values.keys()}
        try:
            for name, part in _PARTS.items():
                if name in known:
                    known[name] = part(known[name])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"its '{name}' has another form") from error
        other = {k: v for k, v in values.items() if k not in names}
        return cls(**known, other=other)

    def to_json(self) -> dict[str, Any]:
        """Contents of `config.json`."""
        architecture, weights = self.architecture, self.weights
        values = {
            "stage": self.stage,
            "architecture": architecture and architecture.to_json(),
            "dataset": self.dataset.to_json(),
            "sources": None if self.sources is None else dict(self.sources),
            "labels": self.labels.to_json(),
            "config": dict(self.config),
            "weights": weights and weights.to_json(),
            "derived": self.derived.to_json() or None,
            "versions": dict(self.versions),
        }
        known = {k: v for k, v in values.items() if v is not None}
        return {**known, **self.other}

    @property
    def overlap_notice(self) -> str:
        """The notice on evaluation images that were trained on.

        '' where there are none, and for runs that did not record it.
        """
        overlap = self.derived.overlap
        return overlap.notice() if overlap else ""

    @property
    def selection_notice(self) -> str:
        """The notice on scores that decided which weights the run ends with;
        '' where none did."""
        found = self.derived.selected_on
        return selected_on_scored(found["split"]) if found else ""


def selected_on_scored(split: str) -> str:
    """Says that the images of a split chose the weights that they score."""
    return (
        "the best checkpoint, or the step to stop at, is chosen on the split it"
        f" is scored on ('{split}'), so that its scores are higher than those"
        " of new images would be"
    )


# Of weights that no run has made it is empty.
_STAGES = ("pretrain", "finetune", "distill", "")
_PARTS = {
    "architecture": Architecture.from_json,
    "dataset": DatasetRecord.from_json,
    "labels": LabelsRecord.from_json,
    "config": dict,
    "weights": WeightsRecord.from_json,
    "derived": DerivedRecord.from_json,
}


def read_record(folder: str) -> RunRecord | None:
    """The record of the run or export in a folder; None if it has none.

    Raises:
      UserError: the file is no record that this version can read.
    """
    path = os.path.join(folder, RECORD_FILE)
    if not os.path.isfile(path):
        return None
    try:
        return RunRecord.from_json(read_json(path))
    except ValueError as error:
        raise UserError(
            f"{path} is no record of a run that this version of tf_simclr can"
            f" read: {error}. Name another folder, or update tf_simclr."
        ) from error


def versions() -> dict[str, str]:
    """The versions that a run's results depend on."""
    import tensorflow as tf
    import tf_keras as keras

    return {
        "tf_simclr": __version__,
        "tensorflow": tf.__version__,
        "tf_keras": keras.__version__,
        "python": platform.python_version(),
    }
