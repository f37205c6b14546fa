"""The model before and after a recipe, for the page of ``initkit apply``. A look that fails costs the page a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initkit.errors import InitError
from initkit.plugins import registry
from initkit_cli.failures import UserCodeError, one_line
from initkit_cli.inspecting import LOOKING, look
from initkit_cli.subject import Asker, Work
from initkit_cli.usercode import headline


def askers() -> tuple[Asker, ...]:
    """Who can use data of the user's file beside the recipes."""
    offered, _ = registry().probes()
    return (LOOKING, *(Asker.wishes(probe.id, probe.needs) for probe in offered))


class Looks:
    """Inspections of one model, each laid beside the one before it.

    Attributes:
        found: the last one; None where there is none.
    """

    def __init__(self, work: Work) -> None:
        self.found: Any = None
        self._work = work
        self._needs: Mapping[str, Any] | None = None
        self._over = False

    def look(self, progress: Any) -> None:
        """Inspect the model as it is now. Whatever fails is said in one line, and no further look is taken."""
        if self._over:
            return
        try:
            with self._work.users_frames():
                self.found = self._look(progress)
        except (InitError, UserCodeError) as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's probe may raise anything, and the work goes on
            self._give_up(headline(error))

    def _look(self, progress: Any) -> Any:
        if self._needs is None:
            self._needs = self._work.wished()
            if self._needs.get("inputs") is None and self._work.function("loss") is None:
                place = self._work.names.place
                raise InitError(f"define the name 'inputs' in {place}, what the model is called with")
        return look(self._work, progress, self._needs, before=self.found)

    def _give_up(self, why: str) -> None:
        self.found, self._over = None, True
        self._work.words.channel.say(f"the page shows no signal before and after: {one_line(why)}")
