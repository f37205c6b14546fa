"""What the installed recipes offer for a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from initkit._table import table


@dataclass
class Offer:
    """What one recipe could do.

    Attributes:
        recipe: its id.
        summary: its card's line.
        claims: names of the tensors that it could fill.
        share: of the parameters, by count of numbers, 0..1.
        why: the layers that hold them.
        lacks: required data that is not at hand, with what it is.
        problem: why it claims nothing, or "".
        default: whether its plugin takes it when no recipe is named.
    """

    recipe: str
    summary: str
    claims: list[str] = field(default_factory=list)
    share: float = 0.0
    why: str = ""
    lacks: list[str] = field(default_factory=list)
    problem: str = ""
    default: bool = False

    @property
    def ready(self) -> bool:
        """Whether it could be applied as things are."""
        return bool(self.claims) and not self.lacks


@dataclass
class Recommendation:
    """The offers of every installed recipe, in order of plugin and preference.

    Attributes:
        subject: class name of the model.
        parameters: how many numbers they hold.
        offers: one a recipe.
        unclaimed: names of parameters that no recipe claims.
        broken: plugins that could not be asked, with the cause.
    """

    subject: str
    parameters: int
    offers: list[Offer] = field(default_factory=list)
    unclaimed: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def useful(self) -> list[Offer]:
        """Offers that claim something: defaults first, then those with all their data, then by share."""
        claiming = [offer for offer in self.offers if offer.claims]
        return sorted(claiming, key=lambda offer: (not offer.default, not offer.ready, -offer.share))

    @property
    def others(self) -> list[Offer]:
        """Offers that claim nothing."""
        return [offer for offer in self.offers if not offer.claims]

    def to_dict(self) -> dict[str, Any]:
        """The recommendation as JSON values."""
        return {
            "subject": self.subject,
            "parameters": self.parameters,
            "offers": [
                {
                    "recipe": offer.recipe,
                    "summary": offer.summary,
                    "claims": offer.claims,
                    "share": round(offer.share, 6),
                    "why": offer.why,
                    "lacks": offer.lacks,
                    "problem": offer.problem or None,
                    "default": offer.default,
                }
                for offer in (*self.useful, *self.others)
            ],
            "unclaimed": self.unclaimed,
            "broken": self.broken,
        }

    def to_json(self) -> str:
        """The recommendation as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Rows of recipe, share, what it would fill and what it lacks; then those that claim nothing, by plugin."""
        found = [
            (
                f"{offer.recipe}{' *' if offer.default else ''}",
                f"{offer.share:.1%}",
                offer.why,
                f"lacks {'; '.join(offer.lacks)}" if offer.lacks else "ready",
            )
            for offer in self.useful
        ]
        groups: dict[tuple[str, str], list[str]] = {}
        for offer in self.others:
            plugin, _, name = offer.recipe.partition("/")
            groups.setdefault((plugin, offer.problem), []).append(name)
        return found + [(f"{plugin}/...", "", ", ".join(names), why) for (plugin, why), names in groups.items()]

    def __str__(self) -> str:
        rows = table(("recipe", "share", "would fill", ""), self.rows())
        return f"{self.subject}, {self.parameters:,} parameters\n{rows}"
