"""Pages of the manual's site that come from elsewhere, for MkDocs.

The front page is README; `flags.md` is made from the configuration, and
`api.md` from the docstrings of the library's public names. Links to files
outside the manual become plain text there.
"""

import pathlib
import re
import sys
from collections.abc import Iterable
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tf_simclr.config.field import DEVICES, TRAINING  # noqa: E402
from tf_simclr.config.flat import Option, options  # noqa: E402

# Modules whose public names a loop or a method of one's own needs.
MODULES = (
    "tf_simclr",
    "tf_simclr.library",
    "tf_simclr.losses",
    "tf_simclr.losses.nt_xent",
    "tf_simclr.models",
    "tf_simclr.data",
    "tf_simclr.config",
    "tf_simclr.methods.base",
    "tf_simclr.metrics",
    "tf_simclr.optimizers.lars",
    "tf_simclr.optimizers.schedule",
)
# Code comes first, so that what looks like a link in it stays.
_LINK = re.compile(
    r"```.*?```|`[^`\n]*`|(!?)\[((?:[^\]`]|`[^`\n]*`)*)\]\(([^)\s]+)\)",
    re.DOTALL,
)
_CHART = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_NODE = re.compile(r'\["(.*?)"\]')
_RESUME = {
    "fixed": "another value is another run",
    "told": "a change is told",
    "free": "may change",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that come from elsewhere."""
    front = _LINK.sub(_from_root, (ROOT / "README.md").read_text())
    made = {"index.md": front, "flags.md": flags_page(), "api.md": api_page()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The page with links and pictures that the site can show."""
    return _LINK.sub(_linked, _CHART.sub(_as_list, markdown))


def _from_root(match: re.Match) -> str:
    """A link of README as one of a page of the manual."""
    picture, text, target = match.groups()
    if target is None or target.startswith(("http", "#")):
        return match[0]
    if target.startswith("docs/"):
        return f"{picture}[{text}]({target.removeprefix('docs/')})"
    return f"{picture}[{text}](../{target})"


def _linked(match: re.Match) -> str:
    """A link that the site has, or its text."""
    picture, text, target = match.groups()
    if target is None or not target.startswith("../"):
        return match[0]
    if target.startswith("../README.md") and not picture:
        return f"[{text}](index.md{target.removeprefix('../README.md')})"
    return text


def _as_list(match: re.Match) -> str:
    """The stations of a chart whose arrows go one way."""
    nodes = _NODE.findall(match[1])
    return "\n".join(
        f"{number}. {node.replace('<br>', ': ', 1).replace('<br>', ', ')}"
        for number, node in enumerate(nodes, 1)
    )


def api_page() -> str:
    """Public names and their docstrings."""
    modules = "\n\n".join(f"::: {name}" for name in MODULES)
    return f"# API\n\n{modules}\n"


def flags_page() -> str:
    """Every flag: default, help, the modes that read it, its role on resume."""
    lines = [
        "# Flags",
        "",
        "Made from the configuration. `--NAME=VALUE`; of a switch also `--NAME`"
        " and `--noNAME`. Flags after a flag file win over those in it.",
    ]
    group = None
    for option in options():
        if option.group != group:
            group = option.group
            lines += ["", f"## {group}", ""]
            lines += ["| flag | default | what it does | modes | on resume |"]
            lines += ["|---|---|---|---|---|"]
        lines.append(_row(option))
    return "\n".join([*lines, ""])


def _row(option: Option) -> str:
    field, role = option.field, option.role
    default = "" if field.default in (None, "") else f"`{field.default}`"
    text = role["help"]
    if role["choices"]:
        values = ", ".join(f"`{value}`" for value in role["choices"])
        text += f" One of {values}."
    cells = [
        f"`--{field.name}`",
        default,
        text,
        _modes(role["read_by"]),
        _RESUME[role["on_resume"]],
    ]
    return (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    )


def _modes(names: Iterable[str]) -> str:
    found = set(names)
    if found >= TRAINING:
        others = sorted(found - TRAINING)
        stages = "training" if not found >= DEVICES else "training, eval"
        rest = [
            name for name in others if name != "eval" or "eval" not in stages
        ]
        return ", ".join([stages, *rest])
    return ", ".join(sorted(found))
