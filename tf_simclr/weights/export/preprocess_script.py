"""`preprocess.py` of an export: image files for its models, in Python without
TensorFlow."""

from tf_simclr.weights.export.folder import Exportable

SCRIPT_FILE = "preprocess.py"

_SCRIPT = '''\
"""Prepares image files for {model}, and names their classes:

    python preprocess.py photo.jpg

takes NumPy, Pillow and {package}.
"""

import pathlib
import sys

import numpy as np
from PIL import Image, ImageOps

{imports}

FOLDER = pathlib.Path(__file__).parent
# The gray behind transparent pixels; None ignores transparency.
BACKGROUND = {background}
# How many bits of the values of 16-bit files are used.
BITS = {bits}

{loading}


def read_image(file):
    """The pixels of an image file, upright: uint8 (1, H, W, 3)."""
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I;16"):
        values = np.minimum(np.asarray(image) >> (BITS - 8), 255)
        image = Image.fromarray(values.astype(np.uint8))
    if BACKGROUND is not None:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, (BACKGROUND,) * 3 + (255,))
        image = Image.alpha_composite(behind, image)
    return np.asarray(image.convert("RGB"))[np.newaxis]


{functions}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        found = outputs(preprocess(read_image(path)))
{printing}
'''

_PRINTING = {
    True: """\
        names = (FOLDER / "labels.txt").read_text("utf-8").split("\\n")
        best = found["probabilities"][0].argmax()
        share = found["probabilities"][0, best]
        print(f"{path}: {names[best]} {share:.4f}")""",
    False: """\
        print(f"{path}: {found['features'][0]}")""",
}

_RUNTIMES = {
    "onnx": {
        "model": "model.onnx",
        "package": "onnxruntime",
        "imports": "import onnxruntime",
        "loading": """\
_PREPROCESS, _MODEL = (
    onnxruntime.InferenceSession(
        str(FOLDER / name), providers=["CPUExecutionProvider"]
    )
    for name in ("preprocess.onnx", "model.onnx")
)""",
        "functions": '''\
def preprocess(images):
    """uint8 (N, H, W, 3) of any size -> what the model takes."""
    return _PREPROCESS.run(["images"], {"pixels": images})[0]


def outputs(images):
    """The model's outputs (N, d), by name."""
    names = [output.name for output in _MODEL.get_outputs()]
    return dict(zip(names, _MODEL.run(names, {"images": images})))''',
    },
    "tflite": {
        "model": "model.tflite",
        "package": "ai-edge-litert",
        "imports": "from ai_edge_litert.interpreter import Interpreter",
        "loading": """\
_PREPROCESS, _MODEL = (
    Interpreter(str(FOLDER / name)).get_signature_runner(signature)
    for name, signature in (
        ("preprocess.tflite", "preprocess"),
        ("model.tflite", "serving_default"),
    )
)""",
        "functions": '''\
def preprocess(images):
    """uint8 (N, H, W, 3) of any size -> what the model takes."""
    return _PREPROCESS(pixels=images)["images"]


def outputs(images):
    """The model's outputs (N, d), by name."""
    return _MODEL(images=images)''',
    },
}


def preprocess_script(source: Exportable, export_format: str) -> str:
    """The script's text.

    It has `read_image` (file -> uint8 (1, H, W, 3)), `preprocess` (-> float32
    (1, S, S, 3), by the model beside it) and `outputs` (-> arrays by name).

    Args:
      source: how its images are decoded.
      export_format: `tflite` or `onnx`.
    """
    decoding = source.decoding
    return _SCRIPT.format(
        background=decoding.background,
        bits=decoding.bits,
        printing=_PRINTING[source.classifies],
        **_RUNTIMES[export_format],
    )
