"""Private names of TensorFlow and Keras stand in `keras_compat.py` alone."""

import ast
import inspect
import pathlib
import re

import pytest
import tensorflow as tf
import tf_keras as keras

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOWED = ROOT / "tf_simclr" / "keras_compat.py"
FILES = sorted(
    path
    for path in [ROOT / "run.py", *(ROOT / "tf_simclr").rglob("*.py")]
    if path != ALLOWED
)
# Public names of Python that begin with an underscore.
PYTHON = {"_asdict", "_fields", "_replace", "_make", "_exit"}
MODULES = re.compile(
    r"(tensorflow\.(python|core|compiler)|(tf_)?keras\.src)(\.|$)"
)
ATTRIBUTES = {"raw_ops", "__internal__"}
# Keys of a checkpoint, and texts of TensorFlow's errors.
TEXTS = re.compile(
    r"_CHECKPOINTABLE|\.ATTRIBUTES|function_node|Graph execution error"
    r"|user-defined function passed|Collective ops|coordination service"
    r"|\[Op:|No such file|No space left|OOM"
)


def private_names_of_bases() -> set[str]:
    optimizer = keras.optimizers.Adam()
    optimizer.build([tf.Variable(0.0)])
    found = [optimizer, keras.layers.Dense(1), keras.Model(), tf.Module()]
    return {
        name
        for thing in found
        for name in dir(thing)
        if name.startswith("_") and not name.endswith("__")
    }


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def derived_lines(tree: ast.Module) -> set[int]:
    """Lines of the classes that TensorFlow or Keras is a base of."""
    return {
        line
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and re.search(r"\b(tf|keras)\.", " ".join(map(ast.unparse, node.bases)))
        for line in range(node.lineno, node.end_lineno + 1)
    }


def offences(source: str, inherited: set[str]) -> list[str]:
    tree = ast.parse(source)
    derived = derived_lines(tree)
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name):
                private = name.startswith("_") and not name.endswith("__")
                foreign = private and not is_own(node) and name not in PYTHON
                taken = name in inherited and node.lineno in derived
                if foreign or taken or name in ATTRIBUTES:
                    found.append(f"{node.lineno}: {name}")
            case ast.Import(names=names):
                found += [n.name for n in names if MODULES.match(n.name)]
            case ast.ImportFrom(module=str(name)):
                found += [
                    f"{name}.{n.name}"
                    for n in node.names
                    if MODULES.match(f"{name}.{n.name}")
                ]
            case ast.Constant(value=str(text)) if text in inherited:
                found.append(f"{node.lineno}: {text}")
            case ast.Constant(value=str(text)) if TEXTS.search(text):
                found.append(f"{node.lineno}: {text}")
    return found


def test_no_other_module_uses_a_private_name():
    inherited = private_names_of_bases()
    assert {"_index_dict", "_built", "_learning_rate"} <= inherited
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in FILES
        if (wrong := offences(path.read_text(), inherited))
    }
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "x = optimizer._momentums",
        "from tensorflow.python.framework import ops",
        "from tensorflow.core import protobuf",
        "import tensorflow.python.eager",
        "import tf_keras.src.backend",
        "x = tf.raw_ops.Add(x=1, y=2)",
        "x = getattr(self, '_built', False)",
        "x = 'Graph execution error' in str(error)",
        "class A(tf.Module):\n    def f(self):\n        self._built = True",
    ],
)
def test_each_kind_of_use_is_found(line):
    assert offences(line, private_names_of_bases())


def test_our_own_private_names_are_free():
    source = (
        "class A(tf.Module):\n    def f(self):\n        self._own = os._exit"
    )
    assert not offences(source, private_names_of_bases())
    assert not offences("x = point._replace(x=1)", private_names_of_bases())


def test_each_function_says_why():
    from tf_simclr import keras_compat

    functions = [
        value
        for name, value in vars(keras_compat).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]
    assert len(functions) > 20
    for function in functions:
        text = inspect.getdoc(function)
        assert "Why: " in text or re.search(r"\(see `\w+`\)", text), function
