"""`config.json` is read and written without loss."""

import json
import pathlib

import pytest

from tf_simclr.config import Config, ModelConfig
from tf_simclr.config.flat import to_flat
from tf_simclr.data.same_image import Overlap
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.training.run_record import (
    DatasetRecord,
    DerivedRecord,
    LabelsRecord,
    RunRecord,
    WeightsRecord,
    read_record,
)

EARLIER = pathlib.Path(__file__).parent / "earlier_runs"
ARCHITECTURE = Architecture.for_pretraining(ModelConfig(resnet_depth=18), 8, 0)


def new_record() -> RunRecord:
    return RunRecord.of_run(
        Config(),
        "finetune",
        architecture=ARCHITECTURE,
        dataset=DatasetRecord(name="a", ids="0", class_names=("x", "y")),
        sources={"checkpoint": "step 7, 0"},
        labels=LabelsRecord(count=2, label_seed=0),
        derived=DerivedRecord(total_steps=1, overlap=Overlap(7, 3, 1)),
    )


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = new_record()
    values = record.to_json()
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert read_record(str(tmp_path)) == record
    assert list(values) == [
        "stage",
        "architecture",
        "dataset",
        "sources",
        "labels",
        "config",
        "derived",
        "versions",
    ]
    # The pictures of the digits have no checksum.
    assert values["dataset"]["content"] is None
    assert values["dataset"]["class_names"] == ["x", "y"]
    assert values["labels"] == {"count": 2, "label_seed": 0}
    assert values["derived"]["overlap"] == {
        "evaluated": 7,
        "trained": 3,
        "labelled": 1,
    }
    assert values["config"] == to_flat(Config())


@pytest.mark.parametrize("name", sorted(p.name for p in EARLIER.glob("*/")))
def test_records_of_earlier_versions_are_read(name):
    stored = json.loads((EARLIER / name / "config.json").read_text())
    record = read_record(str(EARLIER / name))
    assert record.derived.scored_in is record.derived.overlap is None
    stored["dataset"]["content"] = None
    assert record.to_json() == stored


def test_what_a_record_lacks_is_not_known():
    record = RunRecord.from_json({"stage": "pretrain"})
    assert record.architecture is record.sources is record.weights is None
    assert record.dataset == DatasetRecord()
    assert record.overlap_notice == ""


def test_keys_of_other_versions_are_kept():
    values = new_record().to_json()
    values["later"] = 1
    for part in ("dataset", "labels", "derived"):
        values[part]["other"] = values[part]["later"] = [part]
    assert RunRecord.from_json(values).to_json() == values


def test_exports_of_other_weights():
    weights = WeightsRecord(kind="original", path="/r50")
    values = RunRecord(
        stage="", dataset=DatasetRecord(class_names=()), weights=weights
    ).to_json()
    assert values["labels"] == {} and values["dataset"] == {"class_names": []}
    assert "derived" not in values and "sources" not in values
    assert RunRecord.from_json(values).weights == weights


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "Expecting"),
        ("[]", "no 'stage'"),
        ('{"model_type": "resnet"}', "no 'stage'"),
        ('{"stage": "", "architecture": {"x": 1}}', "'architecture' has anot"),
        ('{"stage": "", "derived": [1]}', "'derived' has another form"),
        ('{"stage": "dream"}', "no stage is 'dream'"),
        ('{"stage": ["distill"]}', "no stage is ['distill']"),
        ('{"stage": "", "config": 3}', "'config' has another form"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path, text, told):
    assert read_record(str(tmp_path)) is None
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="is no record of a run") as error:
        read_record(str(tmp_path))
    assert told in str(error.value)
