"""The pipeline and what it leaves: tables, a page, charts in TensorBoard."""

import dataclasses
import html
import json
import pathlib
import re
import subprocess

import browser
import event_files
import numpy as np
import pytest
import tensorboard_page
import tensorflow as tf
import tiny

from tf_simclr import cli
from tf_simclr.config import Config
from tf_simclr.config.flat import (
    command_words,
    from_flat,
    options,
    parse_overrides,
)
from tf_simclr.data.same_image import Overlap
from tf_simclr.errors import UserError
from tf_simclr.evaluation.embeddings import FeaturePlane
from tf_simclr.evaluation.report_json import from_json
from tf_simclr.modes.pipeline import _part_config, _parts, pipeline
from tf_simclr.report.pipeline_data import PipelineData, read_stage
from tf_simclr.report.pipeline_page import pipeline_page
from tf_simclr.report.pipeline_text import pipeline_text
from tf_simclr.weights.open import open_weights

pytestmark = pytest.mark.usefixtures("one_block")
PARTS = (
    "pretrain",
    "supervised",
    "linear",
    "finetune",
    "consistency",
    "self_distill",
    "distill",
)
ROWS = (
    *("supervised", "linear", "finetuned", "consistency"),
    *("self_distilled", "distilled"),
)
PIPELINE = {o.field.name for o in options() if o.group == "pipeline"}
needs_browser = pytest.mark.skipif(
    browser.find() is None, reason="no Chromium on this machine"
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A pipeline that has ended, and what it said."""

    folder: pathlib.Path
    config: Config
    result: dict
    output: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Run:
    import contextlib
    import io

    dataset = tiny.write_npz(tmp_path_factory.mktemp("data"))
    folder = tmp_path_factory.mktemp("runs") / "a <pipeline>"
    text = (
        f"{' '.join(tiny.FLAGS)} --labels_per_class=2 --self_distill"
        " --finetune_flags='--ft_proj_selector=1'"
        " --linear_flags='--train_batch_size=6'"
        " --consistency --consistency_flags='--unlabeled_ratio=3'"
        " --supervised_flags='--train_batch_size=6'"
        " --distill_flags='--width_multiplier=0.03'"
        " --pretrain_flags='--eval_every_epochs=1 --profile_steps=2,4'"
    )
    flags = parse_overrides(text, "flags")
    flags |= {"mode": "pipeline", "model_dir": str(folder), "dataset": dataset}
    config = from_flat(flags)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        result = pipeline(config)
    return Run(folder, config, result, output.getvalue())


def read(ended: Run, name: str) -> str:
    return (ended.folder / name).read_text(encoding="utf-8")


def commands(ended: Run) -> list[Config]:
    """The configurations that the report's commands stand for."""
    blocks = re.findall(r"```bash\n(.*?)```", read(ended, "report.md"), re.S)
    configs = []
    for block in blocks:
        python, script, rest = block.split(maxsplit=2)
        assert (python, script) == ("python", "run.py")
        # What a shell makes of it.
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {rest}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        configs.append(cli.parse_config([script, *words[:-1]]))
    return configs


def test_it_ends_with_a_table(ended):
    result = ended.result
    assert result["labels_per_class"] == 2 and result["labels"] == 6
    assert result["student_parameters"] < result["teacher_parameters"]
    # Six labels, and flags for batches of eight.
    assert "finetune: batches of 6, all images" in ended.output
    assert "linear: batches" not in ended.output
    use = ended.output.partition("Classify images by the student:")[2]
    assert f"{ended.folder}/distill" in use and "--mode=predict" in use
    report = read(ended, "report.md")
    for row in ROWS:
        figure = f"{result[f'{row}_top_1']:.4f}"
        assert figure in ended.output and figure in report
    assert json.loads(read(ended, "result.json")) == result


def test_intervals_are_those_of_the_evaluations(ended):
    report = read(ended, "report.md")
    for part, row in zip(PARTS[1:], ROWS, strict=True):
        found = from_json(json.loads(read(ended, f"{part}/evaluation.json")))
        score = found.scores["top_1"]
        assert score.value == ended.result[f"{row}_top_1"]
        assert f"{score.value:.4f} | {score.low:.4f} to {score.high:.4f}" in (
            report
        )


def test_its_folder_names_the_weights_in_it(ended):
    with pytest.raises(UserError, match="these runs: distill, .*distill[.]$"):
        open_weights(str(ended.folder), "checkpoint")


def test_every_stage_leaves_its_evaluation(ended):
    for part in PARTS:
        text = read(ended, f"{part}/evaluation.md")
        names = re.findall(r"!\[.*?\]\((.*?)\)", text)
        assert {"confusion.png", "reliability.png"} <= set(names)
        for name in names:
            png = tf.io.read_file(str(ended.folder / part / name))
            assert tf.io.decode_png(png).shape[2] >= 3


def test_commands_are_what_the_pipeline_ran(ended):
    found = commands(ended)
    assert len(found) == len(PARTS)
    for part, config in zip(PARTS, found, strict=True):
        ran = json.loads(read(ended, f"{part}/config.json"))["config"]
        for option in options():
            name = option.field.name
            value = getattr(getattr(config, option.group), name)
            if name not in PIPELINE:
                assert value == ran[name], (part, name)


def test_a_command_finds_its_stage_finished(ended, capsys):
    config = commands(ended)[0]
    before = read(ended, "pretrain/metrics.jsonl")
    assert cli.run_mode(config) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert read(ended, "pretrain/metrics.jsonl") == before


def test_the_page_needs_nothing_else(ended):
    page = read(ended, "report.html")
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    sources = re.findall(r'\bsrc="(.{20})', page)
    assert len(sources) >= 16
    assert all(
        source.startswith("data:image/png;base64,"[:20]) for source in sources
    )
    # What users name cannot break the page.
    assert "<pipeline>" not in page
    assert page.count("<svg") >= 10 and page.count("<pre>") == len(PARTS)
    for config in map(html.unescape, re.findall(r"<pre>(.*?)</pre>", page)):
        assert config.startswith("python run.py --mode=")
    for row in ROWS:
        assert f"{100 * ended.result[f'{row}_top_1']:.2f} %" in page


def test_scores_of_images_that_were_trained_on_are_marked(ended):
    counts = Overlap(evaluated=7, trained=7, labelled=0)
    stages = []
    for part, row in zip(PARTS, ("", *ROWS), strict=True):
        stage = read_stage(str(ended.folder / part), part, row, ["run.py"])
        if part in ("pretrain", "distill"):
            derived = dataclasses.replace(stage.record.derived, overlap=counts)
            record = dataclasses.replace(stage.record, derived=derived)
            stage = dataclasses.replace(stage, record=record)
        stages.append(stage)
    count = len(stages[-1].report.mistakes)
    data = PipelineData(
        stages=tuple(stages),
        result=ended.result,
        views=np.zeros([2, 1, 4, 4, 3]),
        planes={"features": FeaturePlane(np.eye(2), "none")},
        plane_labels=np.zeros(2, np.int32),
        split="test",
        mistakes=np.zeros([count, 4, 4, 3]),
    )
    notice = "pretrain, distill: 7 of the 7 evaluation images are also among"
    assert f"**{notice}" in pipeline_text(data)
    page = pipeline_page(data)
    assert f"<strong>{notice}" in page
    assert "scored on <strong>7</strong> images." in page
    # Its own images are others.
    assert "transductive" not in read(ended, "report.md")
    assert "<strong>7</strong> others." in read(ended, "report.html")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(ended, tmp_path, dark):
    """Its colors, in which charts and text are drawn, are on the screen."""
    picture = tmp_path / "page.png"
    flags = browser.DARK if dark else ()
    url = (ended.folder / "report.html").as_uri()
    browser.screenshot(url, picture, size=(1200, 4000), flags=flags)
    pixels = tf.io.decode_png(picture.read_bytes(), channels=3).numpy()
    assert pixels.shape == (4000, 1200, 3)
    colors, counts = np.unique(
        pixels.reshape(-1, 3), axis=0, return_counts=True
    )
    ground, bars = ("12151c", "7ea6ff") if dark else ("fbfaf8", "2f5fd0")
    shown = {
        bytes(color.tolist()).hex(): int(count)
        for color, count in zip(colors, counts, strict=True)
    }
    assert shown[ground] > 1_000_000
    assert shown[bars] > 2_000
    assert len(shown) > 500


@needs_browser
def test_tensorboard_in_a_browser(ended):
    """Its tabs have content, on a page that draws it."""
    with tensorboard_page.serve(ended.folder) as url:
        scalars, images, hparams, projector = (
            tensorboard_page.says(url, tab)
            for tab in ("scalars", "images", "hparams", "projector")
        )
    assert "tag: accuracy/top_1 " in scalars
    # Of the later groups, which are closed at first, only the names show.
    for group in ("learning_rate", "loss", "similarity", "trust_ratio"):
        assert f" {group} " in scalars
    for part in PARTS:
        assert f" {part} " in scalars and f" {part} " in hparams
    for picture in ("confusion", "reliability"):
        assert f"tag: {picture} " in images
    assert images.count("[picture of ") >= 6
    assert " views " in images and " worst mistakes " in images
    assert "labels_per_class" in hparams and "top-1 accuracy" in hparams
    assert "2 runs found finetune pretrain " in projector
    path = ended.folder / "finetune" / "projector" / "metadata.tsv"
    count = len(path.read_text().splitlines()) - 1
    assert f"1 tensor found features {count}x" in projector


def test_a_profile_of_the_steps_asked_for(ended):
    folder = ended.folder / "pretrain" / "plugins" / "profile"
    assert list(folder.rglob("*.xplane.pb"))
    assert not (ended.folder / "finetune" / "plugins").exists()


def test_pretraining_in_tensorboard(ended):
    found = event_files.read(ended.folder / "pretrain")
    for part in ("stem", "block_group4", "projection_head", "classifier"):
        assert all(v > 0 for _, v in found[f"gradient_norm/{part}"])
    assert "trust_ratio/block_group4" in found
    assert "trust_ratio/classifier" not in found
    ranks = [value for _, value in found["embedding/effective_rank"]]
    assert all(1 < rank <= 7 for rank in ranks)
    for name in ("positive", "negative"):
        means = [value for _, value in found[f"similarity/mean_{name}"]]
        assert all(-1 <= mean <= 1 for mean in means)
        assert f"similarity/{name}" in found
    assert [step for step, _ in found["loss/contrastive"]][-1] == 7
    assert event_files.size(ended.folder / "pretrain") < 400_000


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("finetune_flags", "--ft_proj_selector=4", "^finetune: .*selector=4"),
        ("linear_flags", "--resnet_depth=34", "^linear: --resnet_depth contr"),
        ("self_distill_flags", "--sk_ratio=0.0625", "^self_distill: --sk_rat"),
        ("linear_flags", "--labels_per_class=99", "those in --linear_flags"),
        ("finetune_flags", "--label_ids=Bob's", "quotation mark"),
        ("linear_flags", "--checkpoint=x", "may not hold --checkpoint"),
        ("supervised_flags", "--checkpoint=x", "contradict each other"),
        ("self_distill_flags", "--ft_proj_selector=4", "^self_distill: .*=4"),
        # The online classifier reads layer 0.
        (
            "finetune_flags",
            "--keep_head --ft_proj_selector=1",
            "^finetune: .*selector=1 contradicts --keep_head",
        ),
    ],
)
def test_mistakes_of_later_parts_are_found_first(
    ended, tmp_path, flag, value, message
):
    folder = tmp_path / "run"
    flags = {"model_dir": str(folder), flag: value}
    with pytest.raises(UserError, match=message):
        pipeline(from_flat(flags, ended.config))
    assert not folder.exists()


@pytest.mark.parametrize(
    "value, message",
    [
        ("--model_dir=X", "--model_dir, which the pipeline sets .*: leave it"),
        ("--mode=eval", "not hold --mode, which .* Received: --mode=eval"),
        ("--train_mode=distill", "may not hold --train_mode, which"),
        ("--distill_flags=--seed=1", "may not hold --distill_flags, which is"),
        ("--noself_distill", "Received: --noself_distill"),
        ("--flagfile=x.cfg", "may not hold --flagfile, which is for the whole"),
        ("--train_epoch=5", r"'train_epoch'. Did you mean: train_epochs \?"),
        ("--label_ids=", "--label_ids is empty"),
        ("--train_epochs=0", "--train_epochs=0 trains nothing"),
        ("--learning_rate=inf", "--learning_rate must be finite"),
    ],
)
@pytest.mark.parametrize("part", ["pretrain", "distill", "self_distill"])
def test_what_a_part_may_not_hold(tmp_path, part, value, message):
    flags = {
        "mode": "pipeline",
        "dataset": "digits",
        "image_size": 8,
        "model_dir": str(tmp_path / "run"),
        f"{part}_flags": value,
        "self_distill": True,
    }
    with pytest.raises(UserError, match=message):
        pipeline(from_flat(flags))
    assert list(tmp_path.iterdir()) == []


def test_the_string_of_a_part_that_is_left_out_is_read():
    for value in ("--train_epoch=5", "--mode=eval", "--learning_rate=inf"):
        flags = {"mode": "pipeline", "self_distill_flags": value}
        with pytest.raises(UserError, match="Received: "):
            pipeline(from_flat({"model_dir": "x", **flags}))


def test_what_is_changed_afterwards_is_told_and_not_reported(ended, capsys):
    before = read(ended, "report.md")
    page = read(ended, "report.html")
    flags = f"{ended.config.pipeline.pretrain_flags} --temperature=0.7"
    values = {"pretrain_flags": flags, "eval_split": "train[:5]"}
    assert pipeline(from_flat(values, ended.config)) == ended.result
    shown = capsys.readouterr().out
    told = "Without effect, as it has finished: changed    --temperature is 0.7"
    assert shown.count(told) == 1
    assert shown.count("--eval_split is train[:5]") == len(PARTS)
    assert read(ended, "report.md") == before
    assert read(ended, "report.html") == page


def test_a_student_of_another_size_than_the_zoo_s():
    values = {
        "mode": "pipeline",
        "model_dir": "x",
        "model": "r50_2x_sk1",
        "distill_flags": "--width_multiplier=1",
        "supervised_flags": "--model=r50_2x_sk1 --width_multiplier=2",
    }
    config = from_flat(values)
    for part in _parts(config):
        found = _part_config(config, part)
        parsed = cli.parse_config(["run.py", *command_words(found)])
        assert parsed.model == found.model
        width = 1 if part.name == "distill" else 2
        assert found.model.width_multiplier == width
        named = part.name != "distill"
        assert found.model.model == ("r50_2x_sk1" if named else None)


def test_it_continues_where_it_stopped(ended, capsys):
    (ended.folder / "linear" / "evaluation.json").unlink()
    before = {
        name: read(ended, name)
        for name in ("report.md", "report.html", "linear/result.json")
    }
    assert pipeline(ended.config) == ended.result
    assert capsys.readouterr().out.count("nothing left to do") == len(PARTS)
    for name, text in before.items():
        assert read(ended, name) == text, name
