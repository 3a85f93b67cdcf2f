"""A directory that a run cannot have is refused before anything is written."""

import pytest

from tf_simclr.errors import UserError
from tf_simclr.training.run_dir import check_writable


def test_a_directory_that_can_be_made_is_not_made(tmp_path):
    check_writable(str(tmp_path / "a" / "run"))
    check_writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is not a directory"):
        check_writable(str(tmp_path / "file" / "run"))


@pytest.mark.parametrize("path", ["/proc/run", "/proc/a/run"])
def test_a_file_system_that_takes_nothing(path):
    """Its permissions say otherwise to the superuser."""
    with pytest.raises(UserError, match="/proc takes no new folder"):
        check_writable(path)


def test_an_address():
    with pytest.raises(UserError, match="mount the bucket"):
        check_writable("gs://bucket/run")
