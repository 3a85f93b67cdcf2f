"""Addresses of object storage and the places of their copies."""

import json
import os

import pytest

from tf_simclr.errors import StorageFailed, UserError
from tf_simclr.storage.addresses import (
    READ,
    RUNS,
    address_of,
    is_address,
    local_place,
    scratch_folder,
)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("gs://bucket/run", True),
        ("ram://run", True),
        ("runs/first", False),
        ("/data/a:b", False),
        ("digits", False),
        ("huggingface:mnist", False),
        ("gs://", False),
        ("://x", False),
        (None, False),
    ],
)
def test_an_address_has_a_scheme_and_a_place(value, address):
    assert is_address(value) == address


@pytest.mark.parametrize("kind", [READ, RUNS])
@pytest.mark.parametrize(
    "address", ["gs://bucket/runs/a", "ram://x", "file:///data/images.npz"]
)
def test_a_place_tells_its_address(tmp_path, address, kind):
    scratch = scratch_folder(str(tmp_path / "copies"))
    place = local_place(address, scratch, kind)
    assert place.startswith(scratch)
    assert address_of(place) == address
    assert address_of(os.path.join(place, "sub")) == f"{address}/sub"


def test_other_paths_are_no_copies(tmp_path):
    assert address_of(str(tmp_path)) == str(tmp_path)
    assert address_of("digits") == "digits"
    scratch = scratch_folder(str(tmp_path))
    assert address_of(scratch) == scratch


@pytest.mark.parametrize("address", ["gs://bucket/../../etc", "gs://./a"])
def test_no_copy_lies_outside_of_its_folder(tmp_path, address):
    with pytest.raises(UserError, match="without . and .. in it"):
        local_place(address, str(tmp_path), READ)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_an_index_writes_nothing_outside(name, tmp_path):
    from storage_faults import bucket

    from tf_simclr.storage import objects
    from tf_simclr.storage.mirror import INDEX_FILE, Mirror
    from tf_simclr.storage.read_copies import copy_path

    index = {"generation": "x", "files": {name: [1, 2]}}
    address = bucket()
    objects.write(f"{address}/{INDEX_FILE}", json.dumps(index).encode())
    with pytest.raises(StorageFailed, match="outside of its folder"):
        Mirror(address, str(tmp_path / "copy")).fetch()
    with pytest.raises(StorageFailed, match="outside of its folder"):
        copy_path(address, "checkpoint", scratch_folder(str(tmp_path)))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--scratch_dir=.*cannot be written"):
        scratch_folder(str(tmp_path / "file" / "copies"))
