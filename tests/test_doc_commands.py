"""Commands of README and the manual, run on tiny settings in one folder.

`<!-- runs -->` before a block of a page says that its commands are run here, in
the order of `PAGES`, by the files that commands before them left.
"""

import re
import shlex

import pictures
import pytest
import tiny

from tf_simclr import cli
from tf_simclr.config.flat import options

pytestmark = [pytest.mark.usefixtures("one_block"), pytest.mark.slow]

PAGES = [
    "docs/augmentation.md",
    "docs/training.md",
    "docs/labels.md",
    "docs/export.md",
    "docs/runs.md",
]
# In the place of what takes minutes. Flags that a mode does not read are left
# out.
SMALL = {
    "image_size": "8",
    "width_multiplier": "0.05",
    "proj_out_dim": "16",
    "train_batch_size": "6",
    "train_epochs": "1",
    "warmup_epochs": "0",
    "label_budget": "6",
    "pretrain_flags": "--train_batch_size=6 --train_epochs=1",
    "finetune_flags": "--train_batch_size=6 --train_epochs=1",
    "linear_flags": "--train_batch_size=6 --train_epochs=1",
    "supervised_flags": "--train_batch_size=6 --train_epochs=1",
    "distill_flags": "--train_batch_size=6 --train_epochs=1",
}
READ_BY = {option.field.name: option.role["read_by"] for option in options()}


def marked_blocks(page):
    text = (tiny.ROOT / page).read_text()
    return re.findall(r"<!-- runs -->\n```bash\n(.*?)```", text, re.DOTALL)


def commands(block):
    """The arguments of each command of this program in a block."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "run.py"]:
            yield words[2:]
        else:
            assert not words, f"a marked block runs run.py alone: {line}"


def smaller(arguments):
    """The same command on tiny settings."""
    config = cli.parse_config(["run.py", *arguments])
    mode = config.stage or config.run.mode
    added = [
        f"--{name}={value}"
        for name, value in SMALL.items()
        if mode in READ_BY[name]
        and not (mode == "pipeline" and name == "label_budget")
    ]
    return [*arguments, *added]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with photos/ and the recipes."""
    place = tmp_path_factory.mktemp("manual")
    (place / "flags").symlink_to(tiny.ROOT / "flags")
    counts = {"cat": 10, "dog": 10, "unlabeled": 4}
    pictures.write_photos(place / "photos", counts)
    return place


@pytest.mark.parametrize("page", PAGES)
def test_marked_commands_run(page, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    blocks = marked_blocks(page)
    assert blocks, f"{page} has no marked block"
    for arguments in (each for block in blocks for each in commands(block)):
        code = cli.main(["run.py", *smaller(arguments)])
        assert code == 0, (arguments, capfd.readouterr().err)


def test_every_page_with_marks_is_run():
    pages = [tiny.ROOT / "README.md", *(tiny.ROOT / "docs").glob("*.md")]
    names = [str(page.relative_to(tiny.ROOT)) for page in pages]
    assert {name for name in names if marked_blocks(name)} == set(PAGES)
