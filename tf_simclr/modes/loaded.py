"""A network read back from whatever a flag names."""

import dataclasses
import os

import tensorflow as tf

from tf_simclr.config.earlier import as_begun
from tf_simclr.config.flat import from_flat, to_flat
from tf_simclr.config.paths import with_absolute_paths
from tf_simclr.config.run import Config
from tf_simclr.data.augment.framing import WHOLE_IMAGE_SIZE
from tf_simclr.data.class_mapping import check_names
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.errors import UserError
from tf_simclr.methods.architecture import check_given_flags
from tf_simclr.models.network import (
    Architecture,
    SimCLRNetwork,
    build_network,
)
from tf_simclr.progress import say
from tf_simclr.storage.addresses import address_of
from tf_simclr.storage.staged import with_local_inputs
from tf_simclr.training.devices import set_up_arithmetic
from tf_simclr.training.run_record import (
    DatasetRecord,
    RunRecord,
    WeightsRecord,
    versions,
)
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights.

    Attributes:
      network: with all its heads.
      stored: where the weights came from.
      config: the configuration, with the data flags of the run that made the
        weights where none were given.
    """

    network: SimCLRNetwork
    stored: StoredWeights
    config: Config

    def image_size(self, images: ImageSet) -> int:
        """The size to see images at, in every mode.

        Weights of the original release do not tell theirs; without
        --image_size the images are then taken as they are, if all are
        squares of one size.
        """
        data = self.config.data
        known = "image_size" in self.config.given or self.stored.image_size
        size = images.pixels.size
        if known or size is None or size[0] != size[1]:
            return data.image_size
        if size[0] != data.image_size:
            said = f"images of {size[0]}x{size[0]} stay as they are"
            say(f"{data.dataset}: {said}")
        return size[0]

    def exportable(self) -> Exportable:
        """The network with what is known about it.

        Raises:
          UserError: `--class_names_file` does not fit the classifier.
        """
        stored = self.stored
        names = stored.class_names
        if self.config.output.class_names_file:
            names = _read_class_names(
                self.config.output.class_names_file, stored
            )
        if stored.record is None:
            record = RunRecord(
                stage=stored.stage,
                architecture=stored.architecture,
                dataset=DatasetRecord(class_names=names),
                config=with_absolute_paths(to_flat(self.config)),
                weights=WeightsRecord(
                    kind=stored.kind,
                    path=address_of(os.path.abspath(stored.path)),
                ),
                versions=versions(),
            )
        else:
            record = stored.record
            data = self.config.data
            names_of_views = ("image_size", "alpha", "eval_crop", "antialias")
            seen = {name: getattr(data, name) for name in names_of_views}
            bits = record.dataset.bits
            if data.bit_depth != "auto":
                bits = int(data.bit_depth)
            record = dataclasses.replace(
                record,
                dataset=dataclasses.replace(
                    record.dataset, class_names=names, bits=bits
                ),
                config={**record.config, **seen},
            )
        return Exportable(
            self.network, record, stored.step, stored.scores, stored.novelty
        )


def load_network(
    config: Config, strategy: tf.distribute.Strategy | None = None
) -> LoadedNetwork:
    """Loads `--checkpoint`, or the run in `model_dir` itself.

    Args:
      config: names the weights.
      strategy: the devices; None: TensorFlow's default device.

    Raises:
      UserError: no weights, or a flag contradicts them.
    """
    set_up_arithmetic(config.train)
    path, flag = config.objective.checkpoint, "checkpoint"
    if not path:
        path, flag = config.run.model_dir, "model_dir"
    stored = open_weights(path, flag, config.model.selected_layer)
    described = Architecture.for_pretraining(
        config.model, config.data.image_size, 0
    )
    check_given_flags(config, described, stored.architecture, stored.path)
    config = _with_stored_data(config, stored)
    with (strategy or tf.distribute.get_strategy()).scope():
        network = build_network(stored.architecture, config.data.image_size)
    report = assign_weights(network, stored, with_classifier=True)
    say(f"{stored.path} ({stored.kind}): {report}")
    return LoadedNetwork(network, stored, config)


def _with_stored_data(config: Config, stored: StoredWeights) -> Config:
    if stored.config is None:
        return _with_likely_size(config, stored)
    values = {
        field.name: stored.config[field.name]
        for field in dataclasses.fields(config.data)
        if field.name not in config.given
        # Earlier versions took an empty string for no value.
        and stored.config.get(field.name, "") != ""
    }
    bits = stored.record.dataset.bits if stored.record else None
    if bits and "bit_depth" not in config.given:
        # What followed from the images that the run saw.
        values["bit_depth"] = str(bits)
    config = dataclasses.replace(
        from_flat(values, config),
        given=config.given,
        inherited=frozenset(values),
    )
    # A run elsewhere may have learned from images of object storage.
    return with_local_inputs(as_begun(config, stored.config))


def _with_likely_size(config: Config, stored: StoredWeights) -> Config:
    """Images as large as those of the original release, whose weights do not
    tell: CIFAR's with the stem for them, else ImageNet's."""
    if "image_size" in config.given:
        return config
    small = stored.architecture.encoder.cifar_stem
    size = WHOLE_IMAGE_SIZE if small else config.data.image_size
    say(
        f"{stored.path}: does not tell the size of its images, which is taken"
        f" for {size}x{size}; name another by --image_size"
    )
    data = dataclasses.replace(config.data, image_size=size)
    return dataclasses.replace(config, data=data)


def _read_class_names(path: str, stored: StoredWeights) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            names = tuple(file.read().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--class_names_file={path} cannot be read: {error}"
        ) from error
    classes = stored.architecture.num_classes
    if len(names) != classes:
        raise UserError(
            f"--class_names_file={path} holds {len(names)} names, but the"
            f" weights in {stored.path} know {classes} classes: give one name"
            " per line."
        )
    check_names(names, stored.classes, f"--class_names_file={path}")
    return names
