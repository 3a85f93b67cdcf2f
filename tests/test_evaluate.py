"""Scores of a network, and files where it cannot be scored."""

import json
import types

import numpy as np
import pytest
import tiny

from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError
from tf_simclr.evaluation import evaluate
from tf_simclr.methods import pretraining
from tf_simclr.modes.evaluate import evaluate as evaluate_run
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.pipeline import pipeline

OTHER_MODES = {"eval": evaluate_run, "pipeline": pipeline}
TOP_1, TOP_5 = (f"eval/label_top_{k}_accuracy" for k in (1, 5))
KNN = "eval/knn_top_1_accuracy"
MACRO_F1 = "eval/macro_f1"
pytestmark = pytest.mark.usefixtures("one_block")


class Eyes:
    """Features and logits that are the classes; notes what it sees."""

    seen: list[ImageSet] = []

    def __init__(self, network, names, **_):
        self.classes = network.classes

    def __call__(self, images: ImageSet) -> dict[str, np.ndarray]:
        self.seen.append(images)
        rows = np.eye(self.classes, dtype=np.float32)[images.labels]
        return {
            "features": rows,
            "logits": rows,
            "label": images.labels,
        }


class Blind(Eyes):
    """Sees nothing in one of the images."""

    def __call__(self, images):
        found = super().__call__(images)
        for name in ("features", "logits"):
            found[name][3] = np.nan
        return found


@pytest.fixture(autouse=True)
def eyes(monkeypatch, request):
    """Instead of a network, where a test does not train one."""
    if "tmp_path" not in request.fixturenames:
        monkeypatch.setattr(evaluate, "Predictor", Eyes)
        monkeypatch.setattr(Eyes, "seen", [])


def network(classes: int, classifier=None):
    return types.SimpleNamespace(classes=classes, classifier=classifier)


def sorted_by_class(count: int, classes: int = 4) -> ImageSet:
    labels = np.sort(np.arange(count) % classes).astype(np.int32)
    names = tuple(map(str, range(classes)))
    ids = tuple(f"id{i}" for i in range(count))
    pixels = ArrayPixels(np.zeros([count, 2, 2, 3], np.uint8))
    return ImageSet("train", pixels, labels, names, ids)


def test_neighbours_are_of_all_classes():
    evaluator = evaluate.pretraining_evaluator(
        network(4),
        sorted_by_class(40),
        sorted_by_class(1000),
        DataConfig(eval_steps=1, eval_batch_size=20),
        max_references=100,
    )
    assert evaluator().scores == {KNN: 1.0}
    # --eval_steps is for what is scored, not for what it is compared with.
    assert [len(images) for images in Eyes.seen] == [20, 100]


def test_predictions_are_of_the_sample():
    images = sorted_by_class(40)
    evaluator = evaluate.classifier_evaluator(
        network(4), images, DataConfig(eval_steps=1, eval_batch_size=20)
    )
    evaluation = evaluator()
    found, [seen] = evaluation.predictions, Eyes.seen
    assert set(found.labels.tolist()) == {0, 1, 2, 3}
    assert found.ids == seen.ids == evaluation.sample.images.ids
    assert evaluation.sample is evaluator.sample
    assert found.total == 40
    classes = dict(zip(images.ids, images.labels, strict=True))
    assert [classes[name] for name in found.ids] == found.labels.tolist()


@pytest.mark.parametrize(
    "classes, expected",
    [(5, [TOP_1, MACRO_F1]), (6, [TOP_1, TOP_5, MACRO_F1])],
)
def test_five_guesses_of_five_classes_are_no_score(classes, expected):
    images = sorted_by_class(12, classes)
    evaluator = evaluate.classifier_evaluator(
        network(classes), images, DataConfig()
    )
    assert list(evaluator().scores) == expected


def test_outputs_that_are_not_finite_have_no_score(monkeypatch):
    monkeypatch.setattr(evaluate, "Predictor", Blind)
    images = sorted_by_class(12)
    of_classes = evaluate.classifier_evaluator(network(4), images, DataConfig())
    of_features = evaluate.pretraining_evaluator(
        network(4, classifier=True), images, images, DataConfig()
    )
    for evaluator in (of_classes, of_features):
        evaluation = evaluator()
        assert evaluation.scores == {} and evaluation.predictions is None


def write_npz(folder, **more) -> str:
    """12 training and 30 test images of 3 classes, sorted by class."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 12), ("test", 30)):
        arrays[f"x_{split}"] = rng.integers(0, 255, (count, 8, 8, 3), np.uint8)
        arrays[f"y_{split}"] = np.sort(np.arange(count) % 3)
    arrays |= more
    path = folder / "sorted.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return str(path)


def run(mode: str, folder, dataset: str, text: str = "") -> dict[str, float]:
    common = " ".join(tiny.FLAGS) if mode != "eval" else ""
    flags = parse_overrides(f"{common} {text}", "flags")
    flags |= {"mode": mode, "model_dir": str(folder), "dataset": dataset}
    config = from_flat(flags)
    config.check()
    return OTHER_MODES.get(mode, run_stage)(config)


def read(path) -> dict:
    """Reads JSON as other languages do: they know no NaN."""

    def refuse(constant: str):
        raise AssertionError(f"{constant} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_scores_of_other_images_are_not_compared(tmp_path, capsys):
    folder, dataset = tmp_path / "run", write_npz(tmp_path)
    text = "--from_scratch --eval_every_epochs=1 --eval_batch_size=6"
    run("finetune", folder, dataset, f"{text} --eval_steps=1 --train_steps=1")
    out = capsys.readouterr().out
    assert "6 of 30 to evaluate on" in out
    assert "Scored: finetune on 6 of 30 images of test." in out
    report = (folder / "evaluation.md").read_text()
    assert report.startswith("# finetune on 6 of 30 images of test\n")
    assert "over the 6 of 30 evaluation images" in report
    found = read(folder / "evaluation.json")
    assert (found["images"], found["of"]) == (6, 30)
    # Not the first six of the first class.
    assert sum(entry["images"] > 0 for entry in found["classes"]) > 1
    assert set(found["scores"]) == {"top_1", "macro_f1", "cohen_kappa"}
    assert set(read(folder / "result.json")) == {
        "global_step",
        TOP_1,
        MACRO_F1,
    }
    score = found["scores"]["macro_f1"]["value"]
    assert read(folder / "result.json")[MACRO_F1] == score
    chance = read(folder / "config.json")["derived"]["chance"]
    assert TOP_1 in chance and TOP_5 not in chance
    best = read(folder / "best.json")
    assert best["of"]["images"] == 6
    # As if the score had been the best that there is.
    [manifest] = folder.glob("checkpoints/ckpt-1.manifest.json")
    manifest.write_text(json.dumps({**read(manifest), "score": {TOP_1: 1.5}}))
    run("finetune", folder, dataset, f"{text} --eval_steps=3 --train_steps=2")
    best = read(folder / "best.json")
    assert best["step"] == 2 and best["of"]["images"] == 18
    # Beside the run that was scored on others, they have no place.
    with pytest.raises(UserError, match="eval_batch_size=6"):
        run("eval", folder, dataset, "--eval_steps=3 --eval_batch_size=7")


def test_an_evaluation_without_labels_is_no_score(tmp_path, capsys):
    folder, dataset = tmp_path / "run", write_npz(tmp_path, y_test=None)
    text = "--from_scratch --eval_every_epochs=1 --train_steps=1"
    result = run("finetune", folder, dataset, f"{text} --eval_split=test")
    assert result == read(folder / "result.json") == {"global_step": 1.0}
    out = capsys.readouterr().out
    assert "none of the 30 images of test has a label to score with" in out
    assert "finetune done at step 1." in out
    assert read(folder / "checkpoints/ckpt-1.manifest.json")["score"] == {}
    assert not (folder / "best.json").exists()


def of_one_class(folder) -> str:
    train, test = np.zeros(12, int), np.zeros(30, int)
    return write_npz(folder, y_train=train, y_test=test)


@pytest.mark.parametrize(
    "mode, text, part",
    [("finetune", "--from_scratch", ""), ("pipeline", "", "supervised: ")],
)
def test_one_class_is_not_trained_on(tmp_path, mode, text, part):
    one = of_one_class(tmp_path)
    message = f"{part}--dataset={one} has labels of one class alone, '0'"
    with pytest.raises(UserError, match=message):
        run(mode, tmp_path / "run", one, text)
    assert not (tmp_path / "run").exists()


def test_labels_of_one_class_of_several_are_refused(tmp_path):
    dataset, ids = write_npz(tmp_path), tmp_path / "ids.txt"
    ids.write_text("".join(f"sorted/train/{index}\n" for index in range(4, 8)))
    text = f"--from_scratch --label_ids={ids} --train_batch_size=4"
    message = "--label_ids=.* chooses images of one class alone, '1'"
    with pytest.raises(UserError, match=message):
        run("finetune", tmp_path / "run", dataset, text)


def test_pretraining_on_one_class_has_no_score(tmp_path, capsys, monkeypatch):
    folder, dataset = tmp_path / "run", of_one_class(tmp_path)
    result = run("pretrain", folder, dataset, "--train_steps=1")
    assert result == {"global_step": 1.0}
    assert "probes     none: all labels are '0'" in capsys.readouterr().out
    assert not read(folder / "config.json")["architecture"]["num_classes"]
    with pytest.raises(UserError, match="one class alone"):
        run("eval", tmp_path / "scores", dataset, f"--checkpoint={folder}")
    # Earlier versions began such runs with an online classifier.
    folder = tmp_path / "earlier"
    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "_has_online_classifier", lambda _: True)
        run("pretrain", folder, dataset, "--train_steps=1")
    assert read(folder / "config.json")["architecture"]["num_classes"] == 1
    capsys.readouterr()
    again = run("pretrain", folder, dataset, "--train_steps=1")
    assert again == {"global_step": 1.0}
    assert "nothing left to do" in capsys.readouterr().out
