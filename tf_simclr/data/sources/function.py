"""A source from outside of this package: `--dataset=module:function`."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.errors import UserError
from tf_simclr.process import importing_from_here


def function_key(name: str, config: DataConfig, splits: Sequence[str]) -> str:
    """A key that says which function is called, and what with.

    Args:
      name: MODULE:FUNCTION.
      config: the flags of it that a function may read.
      splits: do not matter, since a function returns all splits.

    Raises:
      UserError: it cannot be imported.
    """
    module, _ = _import(name)
    flags = f"{config.image_size} {config.data_dir}"
    return f"function {name} {_file(module)} {flags}"


def call_function(
    name: str, config: DataConfig, splits: Sequence[str]
) -> Source:
    """The source that the function returns for the data flags.

    Modules of the current directory can be imported, by the function as well.

    Args:
      name: MODULE:FUNCTION.
      config: is handed to the function.
      splits: do not matter.

    Returns:
      What the function returns. A source with stamps gets that of the module
      as well: another version of the function may return something else.

    Raises:
      UserError: it cannot be imported, or is no function.
    """
    module, function = _import(name)
    with importing_from_here():
        source = function(config)
    path = _file(module)
    if not isinstance(source, Source) or not source.stamps or not path:
        return source
    return dataclasses.replace(
        source, stamps={**source.stamps, path: stamp(path)}
    )


def _import(name: str) -> tuple[ModuleType, Callable[[DataConfig], Source]]:
    place, _, attribute = name.partition(":")
    try:
        with importing_from_here():
            module = importlib.import_module(place)
        function = getattr(module, attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UserError(
            f"--dataset={name} cannot be imported: {error}"
        ) from error
    if not callable(function):
        raise UserError(
            f"--dataset={name} must name a function that returns a Source."
            f" Received: {type(function).__name__}"
        )
    return module, function


def _file(module: ModuleType) -> str:
    """Path of the module's file; '' where it has none."""
    return getattr(module, "__file__", None) or ""
