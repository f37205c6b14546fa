"""Which installed recipes could start which tensors of a model."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from torch import nn

from initkit._names import unwrapped, walk
from initkit._recipe import Recipe
from initkit.cards import Card
from initkit.errors import InitError
from initkit.plugins import registry
from initkit.recommendation import Offer, Recommendation
from initkit.slots import Slots, slots_of

_NAMED = 3  # layers of one kind that are named


def recommend(model: Any, **needs: Any) -> Recommendation:
    """Ask every installed recipe what it could fill, by types and shapes alone; nothing is planned or written.

    Works on the meta device, where the largest model costs nothing.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        needs: data at hand, by name; a recipe that asks for more says so.

    Raises:
        InitError: nobody knows the subject.
    """
    subject = unwrapped(model)
    slots = slots_of(subject)
    sizes = {name: math.prod(slot.shape) for name, slot in slots.items() if slot.parameter}
    owners = _owners(subject)
    found = Recommendation(type(subject).__name__, sum(sizes.values()))
    with_default: set[str] = set()
    for card in registry().cards():
        offer = _offer(card, subject, slots, sizes, owners, needs)
        if offer.claims and card.plugin not in with_default:
            with_default.add(card.plugin)
            offer.default = True
        found.offers.append(offer)
    claimed = {name for offer in found.offers for name in offer.claims}
    found.unclaimed = [name for name in sizes if name not in claimed]
    found.broken = {plugin.name: plugin.cause for plugin in registry().plugins if plugin.cause is not None}
    return found


def _offer(
    card: Card, subject: Any, slots: Slots, sizes: dict[str, int], owners: dict[str, tuple[str, str]], needs: Any
) -> Offer:
    offer = Offer(card.id, card.summary)
    offer.lacks = [
        f"{need.name} ({need.help})" if need.help else need.name
        for need in card.asked
        if not need.optional and needs.get(need.name) is None
    ]
    try:
        names = card.claims(subject)
    except InitError as error:
        offer.problem = str(error)
        return offer
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
        offer.problem = f"claims fails: {type(error).__name__}: {error}"
        return offer
    offer.claims = list(dict.fromkeys(slots[name].name for name in names if name in slots))
    total = sum(sizes.values())
    offer.share = sum(sizes.get(name, 0) for name in offer.claims) / total if total else 0.0
    offer.why = _why(offer.claims, owners)
    if not offer.claims:
        offer.problem = "claims no tensor of this model"
        if offer.lacks and _asks_its_plan(card):
            offer.problem = f"cannot tell without {'; '.join(offer.lacks)}"
    return offer


def _asks_its_plan(card: Card) -> bool:
    """Whether the recipe finds its tensors by planning, which takes its data."""
    if card.layers_from:
        return False
    return getattr(card.load().claims, "__func__", None) is getattr(Recipe.claims, "__func__", None)


def _owners(subject: Any) -> dict[str, tuple[str, str]]:
    """For each tensor name: the module that holds it, and that module's class name."""
    if not isinstance(subject, nn.Module):
        return {}
    return {
        f"{name}.{own}" if name else own: (name or type(module).__name__, type(module).__name__)
        for _, name, module in walk(subject)
        for own in (*module._parameters, *module._buffers)
    }


def _why(claims: list[str], owners: dict[str, tuple[str, str]]) -> str:
    """The layers that hold the tensors, counted by kind: ``8 GCNConv (convs.0, convs.1, convs.2, ...)``."""
    layers = list(dict.fromkeys(owners[name] for name in claims if name in owners))
    parts = []
    for kind, count in Counter(kind for _, kind in layers).items():
        names = [name for name, its_kind in layers if its_kind == kind]
        more = ", ..." if count > _NAMED else ""
        parts.append(f"{count} {kind} ({', '.join(names[:_NAMED])}{more})")
    return "; ".join(parts) or f"{len(claims)} tensors"
