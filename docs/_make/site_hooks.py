"""What mkdocs does beside its plugins: formulas, their font, and that every public name is documented."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

sys.path.insert(0, str(Path(__file__).parent))
import formulas
import public_names

FONT = "assets/stix-two-math.woff"


def on_config(config: Any) -> Any:
    """Make ``math`` blocks formulas."""
    fences = config["mdx_configs"].setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "formula", "format": formulas.fence})
    return config


def on_post_build(config: Any) -> None:
    """Write the formulas' font, and stop where a public name has no docs.

    Raises:
        PluginError: it names them.
    """
    site = Path(config["site_dir"])
    (site / FONT).write_bytes(formulas.font(sorted(site.rglob("*.html"))))
    missing = public_names.undocumented(site)
    if missing:
        raise PluginError(f"public names without docs: {', '.join(missing)}; name them on a page of docs/reference")
