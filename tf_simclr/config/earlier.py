"""Flags newer than a stored run, which continues without them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_simclr.config.field import declared_options
from tf_simclr.config.flat import from_flat
from tf_simclr.config.run import Config


def as_begun(config: Config, stored: Mapping[str, Any]) -> Config:
    """The configuration with the behaviour of a run that began before newer
    options.

    Args:
      config: of the command that goes on with the run, or reads it.
      stored: {flag: value} of the run's record.
    """
    values = {
        option.field.name: option.role["earlier"]
        for option in declared_options(Config)
        if option.role["earlier"] is not None
        and option.field.name not in stored
        and option.field.name not in config.given
    }
    if not values:
        return config
    return dataclasses.replace(
        from_flat(values, config),
        given=config.given,
        inherited=config.inherited | frozenset(values),
    )
