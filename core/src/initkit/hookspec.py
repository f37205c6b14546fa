"""The hook specifications: everything that a plugin can give to initkit.

A plugin is a light module named by an entry point in the group ``initkit``::

    [project.entry-points.initkit]
    gnn = "initkit_gnn.plugin"

The module holds functions marked with :data:`hookimpl`. Our own plugins use the same door as strangers'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from initkit.cards import Card
    from initkit.probes import Probe
    from initkit.rewriting.folder import CheckpointFolder
    from initkit.slots import Slot

PROJECT = "initkit"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Initializer:
    """What a plugin may implement. Every hook is optional but ``initkit_recipes``."""

    @hookspec
    def initkit_recipes(self) -> Iterable[Card]:
        """Return the cards of the plugin's recipes, in order of preference.

        Example::

            @hookimpl
            def initkit_recipes():
                return [Card("virgo", "initkit_gnn.virgo:Virgo", "Variance-stable message passing.")]
        """
        raise NotImplementedError

    @hookspec
    def initkit_probes(self) -> Iterable[Probe]:
        """Return the plugin's probes: measurements that ``initkit inspect`` offers.

        Example::

            @hookimpl
            def initkit_probes():
                return [Probe("energy", "initkit_gnn.smoothing:energy", "Dirichlet energy by depth.", needs=["graph"])]
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def initkit_slots(self, model: Any) -> Iterable[Slot] | None:
        """Return the slots of a subject that torch does not know, or None when it is not yours.

        For an ``nn.Module`` the returned slots replace those of the same name and leave the others.

        Example::

            @hookimpl
            def initkit_slots(model):
                return estimator_slots(model) if hasattr(model, "startprob_") else None
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def initkit_folder(self, model: Any, needs: Mapping[str, Any]) -> Callable[[Path], None] | None:
        """Return a function that writes the subject into a new folder, or None when it is not yours.

        For subjects whose own libraries load folders: ``initkit apply -o DIR/`` writes one.

        Example::

            @hookimpl
            def initkit_folder(model, needs):
                return model.save_pretrained if hasattr(model, "save_pretrained") else None
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def initkit_checkpoint(self, folder: Path) -> CheckpointFolder | None:
        """Return what is known of a checkpoint folder, or None when it is not yours.

        For ``initkit apply --checkpoint DIR``, which rewrites the folder without loading the model: which model its
        tensors belong to, and what becomes of its other files.

        Example::

            @hookimpl
            def initkit_checkpoint(folder):
                return MyFolder(folder) if (folder / "config.json").is_file() else None
        """
        raise NotImplementedError

    @hookspec
    def initkit_example(self) -> str:
        """Return the path of a runnable ``model.py`` inside the plugin's package.

        Example::

            @hookimpl
            def initkit_example():
                return str(Path(__file__).with_name("example.py"))
        """
        raise NotImplementedError
