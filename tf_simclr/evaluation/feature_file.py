"""`features.npz`, written batch by batch."""

import os
import zipfile
from collections.abc import Mapping

import numpy as np


class FeatureFile:
    """An .npz archive whose arrays grow in bounded memory.

    Each array goes to an .npy file of its own first; `pack` puts them into the
    archive. Until then they take up their space twice.

    Args:
      folder: where the .npy files lie meanwhile.
      count: N, the rows that each array will have.
    """

    def __init__(self, folder: str, count: int):
        self._folder = folder
        self._count = count
        self._formats: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        self._rows = 0

    def append(self, batch: Mapping[str, np.ndarray]) -> None:
        """Adds rows to every array.

        Args:
          batch: {name: (n, ...)}, always of the same names, dtypes and row
            shapes.
        """
        (rows,) = {len(array) for array in batch.values()}
        for name, array in batch.items():
            if name not in self._formats:
                self._start(name, array)
            if (array.dtype, array.shape[1:]) != self._formats[name]:
                raise ValueError(
                    f"{name} was {self._formats[name]}. Received:"
                    f" {array.dtype} of shape {array.shape}"
                )
            with open(self._part(name), "ab") as file:
                file.write(np.ascontiguousarray(array).tobytes())
        self._rows += rows

    def pack(self, path: str) -> None:
        """Writes the archive.

        Raises:
          ValueError: there are not as many rows as were promised.
        """
        if self._rows != self._count:
            raise ValueError(f"{self._rows} rows, not {self._count}")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name in self._formats:
                archive.write(self._part(name), f"{name}.npy")
                os.remove(self._part(name))

    def _part(self, name: str) -> str:
        return os.path.join(self._folder, f"{name}.npy")

    def _start(self, name: str, array: np.ndarray) -> None:
        """Writes the header of an array's file."""
        self._formats[name] = (array.dtype, array.shape[1:])
        header = {
            "descr": np.lib.format.dtype_to_descr(array.dtype),
            "fortran_order": False,
            "shape": (self._count, *array.shape[1:]),
        }
        with open(self._part(name), "wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
