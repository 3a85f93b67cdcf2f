"""Opening the teachers that flags name."""

import os
from collections.abc import Sequence

from tf_simclr.config.paths import several_paths
from tf_simclr.config.run import Config
from tf_simclr.config.teacher import FEATURES
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.errors import UserError, at_most
from tf_simclr.teachers import keras_file, onnx_file
from tf_simclr.teachers.base import TeacherSource
from tf_simclr.teachers.features import FeaturesSource
from tf_simclr.teachers.foreign import ForeignSource
from tf_simclr.teachers.own import OwnTeacherSource, open_own_teacher
from tf_simclr.teachers.saved_model import SavedModelSource, is_saved_model
from tf_simclr.teachers.targets import TargetsSource
from tf_simclr.training.run_record import RECORD_FILE

# Flags that only teachers of other make read.
_FOREIGN = (
    *("teacher_image_size", "teacher_range"),
    *("teacher_signature", "teacher_output"),
)
_SHOWN = 8


def open_teachers(config: Config) -> dict[str, TeacherSource]:
    """The teachers of a distillation, at least one.

    Args:
      config: of the distillation.

    Returns:
      {'teacher', 'teacher 2', ...: each}, those of --teacher first.

    Raises:
      UserError: one cannot be used, or a flag is for none of them.
    """
    found = [
        _opened(path, config)
        for path in several_paths(config.objective.teacher or "")
    ]
    if config.teacher.teacher_targets:
        found.append(TargetsSource(config))
    _check_read(config, found)
    names = ["teacher", *(f"teacher {n}" for n in range(2, len(found) + 1))]
    return dict(zip(names, found, strict=True))


def _check_read(config: Config, found: Sequence[TeacherSource]) -> None:
    """Refuses flags that none of the teachers reads."""
    foreign = any(isinstance(source, ForeignSource) for source in found)
    answers = foreign or bool(config.teacher.teacher_targets)
    named = answers or any(isinstance(s, OwnTeacherSource) for s in found)
    unread = {
        **dict.fromkeys(() if foreign else _FOREIGN, "a teacher of other make"),
        **({} if answers else {"teacher_answers": "a teacher of other make"}),
        **({} if named else {"class_names_file": "a teacher with classes"}),
    }
    for name, reader in unread.items():
        if name in config.given:
            raise UserError(
                f"--{name} is for {reader}, and this one is {found[0].path}:"
                " leave it out."
            )


def _opened(path: str, config: Config) -> TeacherSource:
    if path == FEATURES and (
        config.labels.features or not os.path.exists(path)
    ):
        return FeaturesSource(config)
    ending = os.path.splitext(path)[1].casefold()
    if os.path.isfile(path) and ending in keras_file.ENDINGS:
        return keras_file.KerasSource(path, config)
    if os.path.isfile(path) and ending == onnx_file.ENDING:
        return onnx_file.OnnxSource(path, config)
    layer = config.objective.teacher_proj_selector
    names = config.output.class_names_file
    if not is_saved_model(path) or os.path.exists(
        os.path.join(path, RECORD_FILE)
    ):
        return open_own_teacher(path, layer, names)
    if not config.given.isdisjoint(_FOREIGN):
        return SavedModelSource(path, config)
    try:
        # The original release's SavedModels have the names of its networks.
        return open_own_teacher(path, layer, names)
    except UserError:
        return SavedModelSource(path, config)


def common_classes(
    sources: Sequence[TeacherSource],
) -> KnownClasses | None:
    """The classes of several teachers: those of the first that has its own.

    Args:
      sources: at least one.

    Returns:
      None: all take those of the data.

    Raises:
      UserError: they do not know the same classes by name.
    """
    known = [source.classes for source in sources if source.classes is not None]
    if not known:
        return None
    first = known[0]
    for other in known[1:]:
        if not (first.names and set(first.names) == set(other.names)):
            raise UserError(
                "Several teachers must know the same classes by their names."
                f" {first.where} knows {at_most(_SHOWN, first.names) or '?'};"
                f" {other.where} knows {at_most(_SHOWN, other.names) or '?'}."
            )
    return first
