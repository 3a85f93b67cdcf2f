"""README.md of an export: what the network is, and how to use it."""

import shlex
from collections.abc import Sequence

from tf_simclr.config.flat import (
    command_words,
    flags_with,
    from_flat,
    to_flat,
)
from tf_simclr.config.run import Config
from tf_simclr.errors import at_most
from tf_simclr.markdown import literal
from tf_simclr.process import command
from tf_simclr.training.run_record import RunRecord
from tf_simclr.weights.export.folder import Exportable

CARD_FILE = "README.md"
_STAGES = {
    "pretrain": "pretrained without labels (NT-Xent)",
    "finetune": "fine-tuned on labels",
    "distill": "distilled from a teacher",
    "": "imported from the original release",
}
# Class names shown; the rest is counted.
_SHOWN = 10

_LOADING = {
    "saved_model": """\
```python
import tensorflow as tf

module = tf.saved_model.load("PATH_OF_THIS_FOLDER")
# float32 images (N, H, W, 3) in [0, 1], of any size, as they are:
outputs = module(images, training=False)
outputs["features"]{others}
# The view that it was evaluated on, from uint8 or float images of any size:
images = module.preprocess(images)
# Encoded JPEG or PNG files:
serve = module.signatures["serving_bytes"]
serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
```

`hub.load` and `hub.KerasLayer(..., trainable=True)` of TensorFlow Hub take it,
too, and TensorFlow Serving the folder that holds the folder of this step.
`serving_default` takes float32 images of any size and makes the evaluation view
itself; `serving_bytes` takes encoded images.
""",
    "tflite": """\
`python preprocess.py photo.jpg` {answers}; it takes NumPy, Pillow and
ai-edge-litert, no TensorFlow. Elsewhere:

```python
from ai_edge_litert.interpreter import Interpreter

runner = Interpreter("model.tflite").get_signature_runner("serving_default")
runner(images=images)["features"]  # float32 ({size}) in [0, 1]
```

It takes images that already have the size it was trained on, in batches of any
size. `preprocess.tflite` makes them of uint8 `pixels` (N, H, W, 3) of any size.
""",
    "onnx": """\
`python preprocess.py photo.jpg` {answers}; it takes NumPy, Pillow and
onnxruntime, no TensorFlow. Elsewhere:

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
names = [output.name for output in session.get_outputs()]
dict(zip(names, session.run(None, {{"images": images}})))
```

It takes float32 images ({size}) in [0, 1], which already have the size it was
trained on. `preprocess.onnx` makes them of uint8 `pixels` (N, H, W, 3) of any
size.
""",
}


def model_card(
    source: Exportable, export_format: str, checks: Sequence[str] = ()
) -> str:
    """The card as Markdown.

    Args:
      source: the network and what is known about it.
      export_format: `saved_model`, `tflite` or `onnx`, which decides how it
        is loaded.
      checks: what was found when the export was compared with the network.
    """
    record = source.record
    architecture = source.network.architecture
    size = f"N, {source.image_size}, {source.image_size}, 3"
    others = ["projection"] if architecture.kept_head_layers else []
    others += ["probabilities"] if source.classifies else []
    loading = _LOADING[export_format].format(
        others="".join(f', outputs["{name}"]' for name in others),
        size=size,
        answers="names its class"
        if source.classifies
        else "shows its features",
    )
    parts = [
        f"# SimCLRv2 {architecture.title}: {_STAGES[record.stage]}",
        _section("Network", _network(source)),
        _section("Data", _data(source)),
        _section("Scores", _scores(source)),
        _section("Recipe", recipe_section(record)),
        _section("Use", loading),
        _section("Compared with the network", "\n".join(map(_item, checks))),
        _section("Versions", _versions(record)),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _section(title: str, text: str) -> str:
    return f"\n## {title}\n\n{text.strip()}" if text else ""


def _item(text: str) -> str:
    return f"- {literal(text)}"


def _network(source: Exportable) -> str:
    network = source.network
    shape = network.architecture
    lines = [
        f"- {shape.details}",
        f"- {network.count_params():,} parameters (running statistics"
        f" included), {network.encoder.feature_dim} features,"
        f" {shape.kept_head_layers} of {shape.head_layers} projection layers",
        f"- images of {source.image_size}x{source.image_size} pixels"
        f"{_trained_on(source)}",
    ]
    if source.classifies:
        names = source.class_names
        names = [literal(name) for name in names]
        shown = at_most(_SHOWN, names, before_rest=", and ")
        lines.append(
            f"- classifier of {len(names)} classes ({shown}) on head layer"
            f" {shape.classifier_layer}"
        )
    elif shape.num_classes:
        lines.append(
            "- `logits_sup` is the online classifier of pretraining, which"
            " shows progress and is no result"
        )
    weights = source.record.weights
    if weights:
        lines.append(f"- weights of the {weights.kind}: {weights.path}")
    return "\n".join(lines)


def _trained_on(source: Exportable) -> str:
    trained = source.record.dataset.image_size
    if trained == source.image_size:
        return ", as in its training"
    if trained:
        return f"; trained on {trained}x{trained}"
    return "; its weights do not tell what it was trained on"


def _data(source: Exportable) -> str:
    record = source.record
    dataset, labels = record.dataset, record.labels
    if not dataset.name:
        return "Not known: the weights do not tell what they were trained on."
    lines = [
        f"- {literal(dataset.name)}, split {dataset.train_split}:"
        f" {dataset.train_images} images"
    ]
    count = labels.count or 0
    used = f"- labels used: {count}"
    if record.stage == "distill":
        used = "- labels used: those that the teacher learned from"
        if record.config.get("distillation_alpha", 1.0) < 1.0:
            used += f", and {count} true ones"
    elif record.stage == "pretrain":
        used = "- labels used: none for the features"
    elif labels.labels_per_class:
        used += f" ({labels.labels_per_class} per class"
        used += f", seed {labels.label_seed})"
    elif labels.label_fraction:
        used += f" ({labels.label_fraction:.0%} of them"
        used += f", seed {labels.label_seed})"
    return "\n".join([*lines, used])


def _scores(source: Exportable) -> str:
    scores = {k: v for k, v in source.scores.items() if k.startswith("eval/")}
    if not scores:
        return ""
    split = source.record.config.get("eval_split", "")
    rows = [f"| {name} | {value:.4f} |" for name, value in scores.items()]
    record = source.record
    for notice in (record.overlap_notice, record.selection_notice):
        rows += ["", f"**{notice}**"] if notice else []
    return "\n".join([f"| on split {split} | |", "|---|---:|", *rows])


def recipe_section(record: RunRecord) -> str:
    """The flags that its stage reads and that differ from their defaults, as
    a command."""
    if not record.stage:
        return ""
    defaults, left_out = to_flat(Config()), flags_with(recipe=False)
    changed = {
        name: value
        for name, value in record.config.items()
        # Other versions have flags of their own.
        if name in defaults.keys() - left_out
        and value is not None
        and value != defaults[name]
    }
    config = from_flat({**changed, "mode": record.stage}, shared=changed)
    flags = [word for word in command_words(config) if word != _mode(record)]
    start = f"{command()} {_mode(record)} --model_dir=runs/again"
    line = " \\\n    ".join([start, *map(shlex.quote, flags)])
    return f"```bash\n{line}\n```"


def _mode(record: RunRecord) -> str:
    return f"--mode={record.stage}"


def _versions(record: RunRecord) -> str:
    return "\n".join(
        f"- {name} {value}" for name, value in record.versions.items()
    )
