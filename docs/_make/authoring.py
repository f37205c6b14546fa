"""The authors' page: the code of the example plugin, and what the battery checks."""

from __future__ import annotations

from record import ROOT

from initkit.testing import all_checks

EXAMPLE = ROOT / "examples" / "stranger" / "initkit-normfree"
_LANGUAGES = {".py": "python", ".toml": "toml", ".md": "text"}


def code(path: str) -> str:
    """A file of the example plugin as a block, its path as the title."""
    file = EXAMPLE / path
    text = file.read_text(encoding="utf-8").rstrip()
    return f'```{_LANGUAGES[file.suffix]} title="{path}"\n{text}\n```'


def checks() -> str:
    """A table of the conformance battery: names and promises."""
    rows = ["| check | what is promised |", "| --- | --- |"]
    for check in all_checks():
        promise = (check.__doc__ or "").partition("\n")[0].replace("``", "`")
        rows.append(f"| `{check.__name__.removeprefix('check_')}` | {promise} |")
    return "\n".join(rows)


def count() -> int:
    """How many checks there are."""
    return len(all_checks())
