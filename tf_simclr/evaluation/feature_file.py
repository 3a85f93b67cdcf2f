"""`features.npz`, and the images that are most similar to given ones."""

import os
import struct
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from tf_simclr.drawing import plain
from tf_simclr.errors import UserError, at_most
from tf_simclr.evaluation.embeddings import unit

# Ids in a message; the rest is counted.
_SHOWN = 4
# Rows that are looked at together.
_ROWS = 65536


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


def open_features(path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Ids and features of an archive; features stay on disk where they can.

    Args:
      path: an .npz file with arrays `ids` (N,) of strings and `features`
        (N, d) of floating-point numbers, as `FeatureFile` writes it.

    Returns:
      N ids, and (N, d), memory-mapped where the archive is not compressed.

    Raises:
      UserError: no such archive, one of other arrays, or features that are
        no finite numbers.
    """
    try:
        with (
            open(path, "rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            if {"ids", "features"} - set(archive.files):
                raise UserError(
                    f"{path} needs arrays `ids` and `features`, as"
                    " --mode=embed writes them. Received:"
                    f" {', '.join(archive.files) or 'no array'}"
                )
            ids = archive["ids"]
            features = _mapped(path)
            if features is None:
                features = archive["features"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no archive of features: {error}") from error
    if (
        features.ndim != 2
        or not np.issubdtype(features.dtype, np.floating)
        or ids.shape != features.shape[:1]
        or ids.dtype.kind != "U"
    ):
        raise UserError(
            f"{path} needs `features` (N, d) of floating-point numbers and N"
            f" strings as `ids`. Received: {features.dtype}"
            f" {features.shape}, {ids.dtype} {ids.shape}"
        )
    _check_finite(path, ids, features)
    return tuple(ids.tolist()), features


def _check_finite(path: str, ids: np.ndarray, features: np.ndarray) -> None:
    for start in range(0, len(features), _ROWS):
        rows = np.isfinite(features[start : start + _ROWS]).all(axis=1)
        if not rows.all():
            place = start + int(rows.argmin())
            raise UserError(
                f"{path} holds features that are no finite numbers: leave these"
                f" images out, or compute them again. Received: {ids[place]}"
            )


def features_of(path: str, ids: Sequence[str]) -> np.ndarray:
    """The features (N, d) of images, in their order.

    Args:
      path: as of `open_features`, the file of --features.
      ids: of N images; the file may hold others, too.

    Raises:
      UserError: as `open_features`, or an image has none, or several.
    """
    found, features = open_features(path)
    if found == tuple(ids):
        return features
    places = {name: place for place, name in enumerate(found)}
    if len(places) < len(found):
        twice = next(x for i, x in enumerate(found) if places[x] != i)
        raise UserError(
            f"--features={path} has features of an image twice. Received:"
            f" {twice}"
        )
    missing = [name for name in ids if name not in places]
    if missing:
        raise UserError(
            f"--features={path} has no features of {len(missing)} of the"
            f" {len(ids)} images: {at_most(_SHOWN, missing)}."
        )
    return features[[places[name] for name in ids]]


def _mapped(path: str) -> np.ndarray | None:
    """`features` of an archive, memory-mapped; None if it is compressed."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        entry = archive.getinfo("features.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            return None
        # The lengths of name and extra field, at the end of the header.
        file.seek(entry.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        if np.lib.format.read_magic(file) == (1, 0):
            read = np.lib.format.read_array_header_1_0
        else:
            read = np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(file)
        if by_column or not np.prod(shape):
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape)


class MostSimilar:
    """Finds nearest neighbours by cosine while features stream by.

    Args:
      queries: (Q, d) features of the given images.
      own: (Q,) the index of each among the images that stream by, which is
        not its own neighbour; -1 for none.
      count: how many neighbours to find.
    """

    def __init__(self, queries: np.ndarray, own: Sequence[int], count: int):
        self._queries = unit(queries)
        self._own = np.asarray(own)[:, None]
        self._count = count
        self.similarities = np.empty((len(queries), 0), np.float32)
        self.indices = np.empty((len(queries), 0), np.int64)

    def add(self, start: int, features: np.ndarray) -> None:
        """Looks at the features (n, d) of images start ... start + n - 1."""
        found = self._queries @ unit(features).T
        indices = np.broadcast_to(
            np.arange(start, start + len(features)), found.shape
        )
        found = np.where(indices == self._own, -np.inf, found)
        similarities = np.concatenate([self.similarities, found], axis=1)
        indices = np.concatenate([self.indices, indices], axis=1)
        best = np.argsort(-similarities, axis=1, kind="stable")
        best = best[:, : self._count]
        self.similarities = np.take_along_axis(similarities, best, axis=1)
        self.indices = np.take_along_axis(indices, best, axis=1)


def _lines(caption: str) -> str:
    return "\n".join(map(plain, caption.split("\n")))


def draw_neighbours(
    path: str,
    queries: Sequence[tuple[np.ndarray, str]],
    neighbours: Sequence[Sequence[tuple[np.ndarray, str]]],
) -> None:
    """Draws one row per query: the image, then its neighbours.

    Args:
      path: of the PNG file.
      queries: image (S, S, 3) in [0, 1] and caption of each.
      neighbours: for each query, images and captions.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(map(len, neighbours))
    figure = Figure(
        figsize=(1.3 * columns, 1.55 * len(queries)), layout="constrained"
    )
    axes = figure.subplots(len(queries), columns, squeeze=False)
    for row, query, found in zip(axes, queries, neighbours, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, (image, caption) in zip(row, [query, *found], strict=False):
            axis.imshow(image, vmin=0, vmax=1)
            axis.set_title(_lines(caption), fontsize=7)
        row[0].set_axis_on()
        row[0].tick_params(
            left=False, bottom=False, labelleft=False, labelbottom=False
        )
        for spine in row[0].spines.values():
            spine.set(edgecolor="tab:red", linewidth=2)
    figure.savefig(path, dpi=100, format="png")
