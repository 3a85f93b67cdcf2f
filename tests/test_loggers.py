"""`--logger`: services are told the curves, and cost no training."""

import json
import pathlib

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.errors import UserError
from tf_simclr.loggers import base
from tf_simclr.training.run_dir import RunDirectory

pytestmark = pytest.mark.usefixtures("one_block")


def command(folder: pathlib.Path, logger: str) -> list[str]:
    return [
        "--mode=finetune",
        "--from_scratch",
        f"--dataset={tiny.write_npz(folder)}",
        *tiny.FLAGS,
        f"--logger={logger}",
        f"--model_dir={folder / 'run'}",
    ]


def finetune(folder: pathlib.Path, logger: str, *flags: str) -> int:
    return cli.main(["run.py", *command(folder, logger), *flags])


def metrics(folder: pathlib.Path) -> list[dict]:
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    """MLflow without a server, in files."""
    mlflow = pytest.importorskip("mlflow")
    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_the_curves_of_a_resumed_run(tmp_path, mlflow_store):
    assert finetune(tmp_path, "mlflow", "--train_epochs=1") == 0
    assert finetune(tmp_path, "mlflow", "--train_epochs=2") == 0
    (experiment,) = mlflow_store.search_experiments(
        filter_string="name = 'tf_simclr'"
    )
    # It went on with the same run.
    (run,) = mlflow_store.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run (finetune)"
    assert run.data.params["train_batch_size"] == "8"
    assert len(run.data.params) > 100
    points = mlflow_store.get_metric_history(
        run.info.run_id, "train/total_loss"
    )
    wanted = {
        line["step"]: line["total_loss"]
        for line in metrics(tmp_path)
        if line["split"] == "train"
    }
    assert {p.step: p.value for p in points} == pytest.approx(wanted)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    name = "eval/label_top_1_accuracy"
    assert run.data.metrics[name] == pytest.approx(result[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_works_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    # Its own process writes the file, and is done when ours ends.
    done = tiny.run(*command(tmp_path, "wandb"), program=tiny.ONE_BLOCK)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "wandb"
    (run,) = folder.glob("offline-run-*")
    (file,) = run.glob("*.wandb")
    ids = json.loads((tmp_path / "run" / base.IDS_FILE).read_text())
    assert file.name == f"run-{ids['wandb']}.wandb"
    content = file.read_bytes()
    for text in (b"train/total_loss", b"train_batch_size", b"run (finetune)"):
        assert text in content


class Recorder:
    """A service that keeps what it is told, or fails."""

    def __init__(self, title, folder, params, known):
        if params["seed"] == 13:
            raise ConnectionError("no server\nat all")
        self.id = known or "first"
        self.told = [title]
        self.fails_at = params["seed"]
        made.append(self)

    def log(self, step, values):
        if step == self.fails_at:
            raise ConnectionError("gone")
        self.told.append((step, dict(values)))

    def close(self, result, *, finished):
        self.told.append((dict(result), finished))


made: list[Recorder] = []


@pytest.fixture
def recorder(monkeypatch):
    made.clear()
    entry = (__name__, "Recorder", "json")
    monkeypatch.setitem(base.LOGGERS, "mlflow", entry)


def test_a_service_is_told_what_the_file_is_told(tmp_path, recorder):
    assert finetune(tmp_path, "mlflow") == 0
    (logger,) = made
    title, *points, (result, finished) = logger.told
    assert title == "run (finetune)" and finished
    assert result["eval/label_top_1_accuracy"] >= 0
    assert [step for step, _ in points] == [
        m["step"] for m in metrics(tmp_path)
    ]
    for (_, values), line in zip(points, metrics(tmp_path), strict=True):
        assert values["epoch"] == pytest.approx(line["epoch"], abs=1e-3)
        if line["split"] == "train":
            assert values["train/total_loss"] == line["total_loss"]
        assert not {"step", "split", "global_step"} & values.keys()


def test_a_service_that_fails_costs_a_line(tmp_path, recorder, capsys):
    assert finetune(tmp_path, "mlflow", "--seed=3") == 0
    output = capsys.readouterr().out
    assert output.count("--logger=mlflow has failed") == 1
    assert ": gone" in output
    # Steps after it are in the file alone.
    assert [point[0] for point in made[0].told[1:]] == [1, 2]
    assert [m["step"] for m in metrics(tmp_path)][:4] == [1, 2, 3, 4]


def test_a_service_that_cannot_start_is_refused(tmp_path, recorder, capsys):
    assert finetune(tmp_path, "mlflow", "--seed=13") == 2
    error = capsys.readouterr().err
    assert "--logger=mlflow cannot start a run: no server at all." in error
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_missing_package_is_named(monkeypatch):
    entry = ("nowhere", "Nothing", "no_such_package")
    monkeypatch.setitem(base.LOGGERS, "wandb", entry)
    base.check_logger("none")
    with pytest.raises(UserError, match="pip install no_such_package"):
        base.check_logger("wandb")


def test_a_run_that_is_stopped_is_not_finished(tmp_path, recorder):
    with (
        pytest.raises(KeyboardInterrupt),
        base.followed(
            "mlflow", RunDirectory(str(tmp_path)), "pretrain", {"seed": 0}
        ) as directory,
    ):
        directory.append_metrics(1, 0.5, "train", {"a": 1.0, "b": float("nan")})
        raise KeyboardInterrupt
    assert made[0].told[1:] == [
        (1, {"epoch": 0.5, "train/a": 1.0}),
        ({}, False),
    ]
    with base.followed(
        "mlflow", RunDirectory(str(tmp_path)), "pretrain", {"seed": 0}
    ):
        pass
    assert made[1].id == "first"
