"""Best checkpoint and early stopping of a whole run."""

import json

import numpy as np
import pytest
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.evaluation import evaluate
from tf_simclr.modes.evaluate import evaluate as evaluate_run
from tf_simclr.modes.execute import run_stage
from tf_simclr.weights.open import open_weights

pytestmark = pytest.mark.usefixtures("one_block")
TOP_1, F1 = "eval/label_top_1_accuracy", "eval/macro_f1"
# Three steps an epoch: evaluated at 3, 6, 9 and at the end.
RUN = "--from_scratch --eval_every_epochs=1 --train_steps=12"


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def scored(monkeypatch):
    """The scores of the next evaluations; None kills the process."""
    values = []

    def scores(_):
        value = values.pop(0)
        if value is None:
            raise Killed
        return {TOP_1: 1.0 - value, F1: value}

    monkeypatch.setattr(evaluate, "_accuracies", scores)
    return values


def run(folder, text=RUN, mode="finetune", dataset=None):
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    dataset = dataset or tiny.write_npz(folder.parent)
    flags |= {"mode": mode, "model_dir": str(folder), "dataset": dataset}
    config = from_flat(flags)
    config.check()
    return run_stage(config)


def read(folder, name):
    return json.loads((folder / name).read_text())


def evaluated(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    lines = map(json.loads, lines)
    return [line["step"] for line in lines if line["split"] == "eval"]


BEST = f"{RUN} --export_checkpoint=best --best_metric=macro_f1"


def check_best(folder, result):
    """The run ended at step 12, its best evaluation is that of step 6."""
    assert result == {"global_step": 6.0, TOP_1: pytest.approx(0.1), F1: 0.9}
    assert read(folder, "result.json") == {
        **result,
        "selection": {
            "export_checkpoint": "best",
            "checkpoint": "checkpoints/ckpt-6",
            "score": {F1: 0.9},
            "chosen_on": "test",
            "trained_steps": 12,
            "planned_steps": 12,
            "stopped_early": False,
        },
    }
    assert evaluated(folder) == [3, 6, 9, 12]
    assert read(folder, "best.json")["step"] == 6


def test_the_best_checkpoint_is_scored_and_exported(tmp_path, scored, capsys):
    folder, text = tmp_path / "run", f"{BEST} --export --keep_checkpoint_max=1"
    scored += [0.2, 0.9, 0.3, 0.4, 0.9]
    check_best(folder, run(folder, text))
    assert tiny.checkpoint_steps(folder) == [6, 12] and not scored
    notice = "is chosen on the split it is scored on ('test')"
    assert notice in capsys.readouterr().out
    report = (folder / "evaluation.md").read_text()
    assert f"**the best checkpoint, or the step to stop at, {notice}" in report
    [export] = (folder / "saved_model").iterdir()
    assert export.name == "6" and read(export, "result.json")[F1] == 0.9
    assert notice in (export / "README.md").read_text()
    # Who is given the folder takes it, too.
    stored = open_weights(str(folder), "checkpoint")
    assert stored.step == 6 and stored.scores[F1] == 0.9
    last = open_weights(str(folder / "checkpoints/ckpt-12"), "checkpoint")
    names = [name for name in stored.shapes if "/kernel" in name]
    assert not all(
        np.array_equal(stored.read(name), last.read(name)) for name in names
    )
    capsys.readouterr()
    assert run(folder, text)["global_step"] == 6
    told = capsys.readouterr().out
    assert "at step 12; its result is that of step 6, nothing left" in told
    # Scores in place are of the same checkpoint, and say what it is.
    scored.append(0.9)
    flags = {"mode": "eval", "model_dir": str(folder)}
    evaluate_run(from_flat(flags))
    assert notice in capsys.readouterr().out
    check_best(folder, run(folder, text))


@pytest.mark.parametrize("at", [3, 4])
def test_a_run_that_is_killed_as_it_chooses(tmp_path, scored, at):
    folder = tmp_path / "run"
    values = [0.2, 0.9, 0.3, 0.4, 0.9]
    scored += [*values[:at], None]
    with pytest.raises(Killed):
        run(folder, BEST)
    assert not (folder / "result.json").exists()
    scored += values[3:]
    check_best(folder, run(folder, BEST))


def test_the_last_checkpoint_may_be_the_best(tmp_path, scored):
    scored += [0.2, 0.3, 0.3, 0.4]
    result = run(tmp_path / "run", BEST)
    assert result["global_step"] == 12 and not scored
    chosen = read(tmp_path / "run", "result.json")["selection"]
    assert chosen["checkpoint"] == "checkpoints/ckpt-12"


def test_a_run_that_stopped_early_has_finished(tmp_path, scored, capsys):
    folder = tmp_path / "run"
    text = f"{RUN} --best_metric=macro_f1 --early_stop_evals=1"
    scored += [0.5, 0.4, 0.4]
    assert run(folder, text)["global_step"] == 6
    chosen = read(folder, "result.json")["selection"]
    assert (chosen["trained_steps"], chosen["planned_steps"]) == (6, 12)
    assert chosen["stopped_early"] and chosen["export_checkpoint"] == "last"
    assert "Early stopping at step 6 of 12" in capsys.readouterr().out
    assert run(folder, text)["global_step"] == 6
    told = capsys.readouterr().out
    assert "finished at step 6 of 12 (stopped early), nothing left" in told
    # Without it, the rest is trained.
    scored += [0.3, 0.2]
    text = f"{RUN} --best_metric=macro_f1"
    assert run(folder, text)["global_step"] == 12 and not scored
    assert "selection" not in read(folder, "result.json")


def test_macro_f1_chooses_where_classes_are_unequal(tmp_path, scored):
    scored += [0.2] * 2
    text = "--from_scratch --eval_every_epochs=1 --train_steps=4"
    run(tmp_path / "equal", text)
    assert TOP_1 in read(tmp_path / "equal", "best.json")
    with np.load(tiny.write_npz(tmp_path)) as found:
        arrays = dict(found)
    kept = np.r_[0:24:3, 1:24:3, 2:12:3]
    arrays |= {name: arrays[name][kept] for name in ("x_train", "y_train")}
    dataset = str(tmp_path / "unequal.npz")
    np.savez(dataset, **arrays)
    scored += [0.2] * 2
    run(tmp_path / "unequal", text, dataset=dataset)
    assert F1 in read(tmp_path / "unequal", "best.json")
    report = (tmp_path / "unequal" / "evaluation.md").read_text()
    assert "## Recall of each class" in report


@pytest.mark.parametrize(
    "mode, text, message",
    [
        (
            "finetune",
            "--from_scratch --export_checkpoint=best",
            "--export_checkpoint has no effect without --eval_every_epochs",
        ),
        (
            "finetune",
            "--from_scratch --early_stop_evals=2",
            "--early_stop_evals has no effect without --eval_every_epochs",
        ),
        (
            "finetune",
            f"{RUN} --best_metric=knn",
            "--best_metric=knn is measured while pretraining only",
        ),
        (
            "pretrain",
            "--nolineareval_while_pretraining --eval_every_epochs=1"
            " --best_metric=macro_f1",
            "which this pretraining does not have: take knn",
        ),
    ],
)
def test_what_cannot_be_chosen_by_is_refused(tmp_path, mode, text, message):
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", text, mode)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flag", ["--export_checkpoint=best", "--early_stop_evals=2"]
)
def test_without_scores_nothing_is_chosen(tmp_path, flag):
    dataset = tiny.write_npz(tmp_path)
    with np.load(dataset) as found:
        arrays = {k: v for k, v in found.items() if k != "y_test"}
    np.savez(dataset, **arrays)
    with pytest.raises(UserError, match=f"{flag} needs scores"):
        run(tmp_path / "run", f"{RUN} {flag}", dataset=dataset)
