"""Whole checkpoints, told from files alone."""

import json

import pytest
import tensorflow as tf

from tf_simclr import manifests
from tf_simclr.errors import UserError
from tf_simclr.training.best import Selection
from tf_simclr.training.checkpoints import Checkpoints
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.weights.open import open_weights


def write(folder, step, **manifest):
    """A checkpoint in the eyes of a manifest."""
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"ckpt-{step}.{suffix}").write_bytes(b"tensors" * step)
    manifests.write_manifest(str(folder), step, **manifest)


def steps(folder):
    return {
        int(path.name.split("-")[1].split(".")[0].split("_")[0])
        for path in folder.glob("ckpt-*")
    }


def test_what_is_written_is_read(tmp_path):
    write(tmp_path, 3, summed_from=2, sums={"loss": 0.1}, score={"top": 0.5})
    manifest = manifests.read_manifest(str(tmp_path), 3)
    assert (manifest.step, manifest.summed_from) == (3, 2)
    assert manifest.sums == {"loss": 0.1} and manifest.score == {"top": 0.5}
    assert manifest.files["ckpt-3.index"]["bytes"] == 21
    assert manifests.problem(str(tmp_path), 3) == ""


def test_sums_survive_to_the_bit(tmp_path):
    total = float(tf.constant(0.1) + tf.constant(1e-6))
    write(tmp_path, 1, sums={"loss": total})
    assert manifests.read_manifest(str(tmp_path), 1).sums["loss"] == total


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("ckpt-2.index", b"tensor", "its bytes is 6, not 14"),
        ("ckpt-2.index", b"tensorstensorz", "its crc32 is"),
        ("ckpt-2.index", None, "ckpt-2.index is missing"),
        ("ckpt-2.manifest.json", None, "is incomplete: it has no"),
        ("ckpt-2.manifest.json", b"{", "cannot be read"),
        ("ckpt-2.manifest.json", b"{}", "it is no manifest"),
    ],
)
def test_problems_are_named(tmp_path, name, content, reason):
    write(tmp_path, 1)
    write(tmp_path, 2)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    choice = manifests.newest_whole(str(tmp_path))
    assert choice.step == 1
    [why] = choice.passed_over
    assert reason in why and "ckpt-2" in why


def test_a_folder_of_an_earlier_version(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    # Nothing says that either has been written to its end.
    assert manifests.newest_whole(str(tmp_path)).step is None
    manifests.write_state_file(str(tmp_path), [1])
    choice = manifests.newest_whole(str(tmp_path))
    assert choice.step == 1 and not choice.has_manifest


def test_the_newest_and_the_best_are_kept(tmp_path):
    folder = str(tmp_path)
    for step, score in ((1, 0.2), (2, 0.9), (3, 0.9), (4, 0.1), (5, 0.3)):
        write(tmp_path, step, score={"top": score}, planned=step != 4)
    write(tmp_path, 6)
    assert manifests.best_scored(folder).step == 2
    kept = manifests.steps_to_keep(folder, 6, 2)
    # Only an interruption had saved step 4.
    assert kept == [2, 5, 6]
    assert manifests.steps_to_keep(folder, 4, 1) == [2, 3, 4]
    (tmp_path / "ckpt-7_temp").mkdir()
    manifests.remove_all_but(folder, kept)
    assert steps(tmp_path) == {2, 5, 6}


@pytest.fixture
def scored_on_two_sets(tmp_path):
    """Checkpoints whose later scores are of other images, and lower."""
    first, second = {"images": 5, "digest": "a"}, {"images": 9, "digest": "b"}
    scores = [(1, 0.9, first), (2, 0.8, None), (3, 0.4, second)]
    scores += [(4, 0.6, second), (5, 0.5, second)]
    for step, score, of in scores:
        write(tmp_path, step, score={"top": score}, scored_on=of)
    return tmp_path


def test_only_scores_of_the_same_images_are_compared(scored_on_two_sets):
    folder = str(scored_on_two_sets)
    assert manifests.best_scored(folder).step == 4
    assert manifests.steps_to_keep(folder, 5, 1) == [4, 5]
    # One of an earlier version does not say what it is of.
    unknown = manifests.kind_of_score({"top": 0.1}, None)
    assert manifests.best_scored(folder, unknown).step == 2
    # And the share of right neighbours is no classifier's accuracy.
    write(scored_on_two_sets, 6, score={"knn": 0.1})
    assert manifests.best_scored(folder).step == 6


@pytest.mark.parametrize("images, better", [(9, False), (7, True)])
def test_what_improves_is_judged_by_its_own_images(tmp_path, images, better):
    (tmp_path / "checkpoints").mkdir()
    name = "eval/label_top_1_accuracy"
    write(
        tmp_path / "checkpoints",
        8,
        score={name: 0.6},
        scored_on={"images": 9, "digest": "b"},
    )
    checkpoints = Checkpoints(
        RunDirectory(str(tmp_path)),
        tf.Module(),
        tf.Module(),
        keep=1,
        selection=Selection(scored_on={"images": images, "digest": "b"}),
    )
    assert checkpoints.improves({name: 0.5}) is better
    assert checkpoints.improves({name: 0.7})
    assert not checkpoints.improves({name: float("nan")})


def test_a_score_that_is_no_number_is_none(tmp_path):
    # Earlier versions wrote NaN, above which nothing is.
    write(tmp_path, 1, score={"top": float("nan")})
    path = tmp_path / "ckpt-1.manifest.json"
    path.write_text(path.read_text().replace('"top": null', '"top": NaN'))
    assert "NaN" in path.read_text()
    write(tmp_path, 2, score={"top": 0.1})
    assert manifests.read_manifest(str(tmp_path), 1).score == {}
    assert manifests.best_scored(str(tmp_path)).step == 2


def test_a_sum_that_overflowed_is_written_as_json_knows_it(tmp_path):
    write(tmp_path, 1, sums={"loss": float("inf")})
    text = (tmp_path / "ckpt-1.manifest.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    found = manifests.read_manifest(str(tmp_path), 1)
    assert found.sums == {"loss": float("inf")}


def test_tensorflow_finds_the_latest(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    manifests.write_state_file(str(tmp_path), [1, 2])
    latest = tf.train.latest_checkpoint(str(tmp_path))
    assert latest == manifests.prefix(str(tmp_path), 2)


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("harm", ["shorter", "other", "gone"])
def test_a_damaged_one_is_neither_the_best_nor_counted(tmp_path, suffix, harm):
    folder = str(tmp_path)
    for step, score in ((1, 0.2), (2, 0.9), (3, 0.5), (4, 0.1)):
        write(tmp_path, step, score={"top": score})
    assert manifests.steps_to_keep(folder, 4, 2) == [2, 3, 4]
    path = tmp_path / f"ckpt-2.{suffix}"
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] + (b"z" if harm == "other" else b""))
    assert manifests.best_scored(folder).step == 3
    assert manifests.steps_to_keep(folder, 4, 2) == [3, 4]
    # Nor does it take the place of an older one that is whole.
    assert manifests.steps_to_keep(folder, 4, 3) == [1, 3, 4]
    path.write_bytes(data)
    assert manifests.best_scored(folder).step == 2


def test_files_that_do_not_change_are_read_once(tmp_path, monkeypatch):
    write(tmp_path, 1, score={"top": 0.5})
    monkeypatch.setattr(manifests, "_fingerprint", None)
    assert manifests.best_scored(str(tmp_path)).step == 1


@pytest.fixture
def run_dir(tmp_path):
    """A run whose newest checkpoint is incomplete, the next one damaged."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in (1, 2, 3):
        tf.train.Checkpoint(step=tf.Variable(step)).write(
            str(folder / f"ckpt-{step}")
        )
        manifests.write_manifest(str(folder), step)
    (folder / "ckpt-3.manifest.json").unlink()
    with (folder / "ckpt-2.index").open("ab") as file:
        file.write(b"0")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", ["ckpt-2", "ckpt-3"])
def test_weights_that_are_named_must_be_whole(run_dir, name):
    path = str(run_dir / "checkpoints" / name)
    with pytest.raises(UserError, match=f"{name}.* cannot be used: {name}"):
        open_weights(path, "checkpoint")


def test_a_run_stands_for_its_newest_whole_weights(run_dir, capsys):
    # What is left has no network; the error names what was opened.
    with pytest.raises((UserError, KeyError, AttributeError)):
        open_weights(str(run_dir), "checkpoint")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == [
        "ckpt-3",
        "ckpt-2.index",
    ]
    (run_dir / "checkpoints" / "ckpt-1.manifest.json").write_text("{")
    with pytest.raises(UserError, match="no checkpoint that can be used"):
        open_weights(str(run_dir), "checkpoint")


def test_a_run_without_any_checkpoint(tmp_path):
    # Killed before its first checkpoint was whole.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({}))
    write(tmp_path / "checkpoints", 1)
    (tmp_path / "checkpoints" / "ckpt-1.manifest.json").unlink()
    with pytest.raises(UserError, match="ckpt-1 is incomplete"):
        open_weights(str(tmp_path), "checkpoint")
