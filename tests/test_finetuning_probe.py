"""Changes of the stages that see labels: what is run, kept and printed."""

import json
import pathlib
import sys

import tiny

sys.path.append(str(tiny.ROOT / "benchmarks"))
import finetuning_probe  # noqa: E402
import pretraining_probe  # noqa: E402

from tf_simclr import cli  # noqa: E402


def test_each_stage_is_the_recipe_s_with_one_change(
    tmp_path, monkeypatch, capsys
):
    noted = tmp_path / "commands"
    noted.touch()

    # Called in processes of their own.
    def fake(command: list[str], **_) -> None:
        command = command[1:]
        config = cli.parse_config(command)
        config.check()
        with noted.open("a") as file:
            file.write(json.dumps(command) + "\n")
        teacher = config.objective.teacher
        assert not teacher or pathlib.Path(teacher, "result.json").exists()
        folder = pathlib.Path(config.run.model_dir)
        folder.mkdir(parents=True, exist_ok=True)
        # As if the change of the layer were worth something.
        score = 0.7 + 0.01 * config.model.ft_proj_selector
        score += 0.02 * config.data.label_seed
        result = {"eval/label_top_1_accuracy": score}
        (folder / "result.json").write_text(json.dumps(result))

    monkeypatch.setattr(pretraining_probe.subprocess, "run", fake)
    output = tmp_path / "probe"
    monkeypatch.setattr(
        sys,
        "argv",
        ["", "--labels", "4", "--seeds=2", "--jobs=2", f"--output={output}"],
    )
    assert finetuning_probe.main() == 0
    commands = [json.loads(line) for line in noted.read_text().splitlines()]
    configs = [cli.parse_config(command) for command in commands]
    first, *others = configs
    assert first.run.mode == "pretrain"
    changes = sum(map(len, finetuning_probe.CHANGES.values()))
    assert len(others) == 2 * changes
    assert {x.data.eval_split for x in configs} == {"train[50000:]"}
    for config in others:
        scratch = config.objective.from_scratch
        pretrained = None if scratch else first.run.model_dir
        assert (config.objective.checkpoint or None) == pretrained
        assert config.data.labels_per_class == 4
    distilled = [x for x in others if x.run.mode == "distill"]
    assert {x.objective.distillation_temperature for x in distilled} == {
        0.1,
        0.5,
    }
    shown = capsys.readouterr().out
    assert "| 4 | fine-tuned | none | 0.720 ± 0.014 | - |" in shown
    assert "| from head layer 3 | 0.740 ± 0.014 | 0.020 ± 0.000 |" in shown
    assert finetuning_probe.main() == 0
    # run.py itself sees that a pretraining has ended.
    assert len(noted.read_text().splitlines()) == len(commands) + 1
