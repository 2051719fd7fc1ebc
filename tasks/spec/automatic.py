"""`algorithms: auto`: which algorithms a product trains, by its images, its gates and its budget.

The choice is written beside the spec, so that a clone without the images, or on a faster machine,
reads the same, and a report can say why. It grows with the images; what a gate's limits rule out
stays out until the limit is raised, and what a budget of minutes leaves out until that is.
"""

from pathlib import Path
from typing import Any

from tasks.workspace.yaml_text import parse_yaml, read_text

AUTO = "auto"
FEW = (
    16  # good images: a product that has no more is taught by the others, and teaches them nothing
)
QUICK = 0.1  # share of the budget: what a fit takes that does not wait for others
TEACHER = "teacher"  # the parameter that names a file from which an algorithm learns
# A gate's limit, and the measured figure that it is held against.
LIMITS = (("ms_per_image", "ms an image"), ("ms_p95", "ms an image at the 95th percentile"))
# images, algorithms {name: why}, left_out {name: {figure: value}}, and perhaps missing
# {name: backbone without weights, or TEACHER}; with a budget: budget (minutes), estimate (of
# tasks.build.estimate), and beyond [name], what the budget leaves out
Choice = dict[str, Any]


def choice_of(folder: Path) -> Choice:
    """The choice as it was last written, in a product's folder."""
    path = folder / "auto.yaml"
    found = parse_yaml(read_text(path), path) if path.is_file() else None
    return found or {"images": 0, "algorithms": {}, "left_out": {}}


def choose(
    steps: dict[int, list[str]],
    images: int,
    gates: dict[str, Any],
    measured: dict[str, dict[str, float]],
    untaught: frozenset[str] = frozenset(),
    backbones: dict[str, str] | None = None,
    here: frozenset[str] = frozenset(),
) -> Choice:
    """steps: algorithms that come in from so many good images on. measured: figures by algorithm,
    as far as they are known. untaught: those that learn from other products, where there are none.
    backbones: of algorithms that are only chosen where its weights are at hand, and of which
    figures are known for few images: with more they come last. here: those of them that are."""
    chosen: dict[str, str] = {}
    left_out: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    backbones = backbones or {}
    for least, names in sorted(steps.items()):
        for name in names:
            if images < least or (name in untaught):
                continue
            over = {
                key: measured[name][key]
                for key, _ in LIMITS
                if gates.get(key) is not None
                and (measured.get(name, {}).get(key) or 0) > gates[key]
            }
            if over:
                left_out[name] = over
            elif name in backbones and name not in here:
                missing[name] = backbones[name]
            else:
                chosen[name] = f"{images} good images, asked for from {least} on"
            if name in chosen and name in backbones:
                chosen[name] += f"; weights of {backbones[name]} are at hand"
    if images > FEW:
        chosen = dict(sorted(chosen.items(), key=lambda item: item[0] in backbones))
    choice: Choice = {"images": images, "algorithms": chosen, "left_out": left_out}
    return choice | ({"missing": missing} if missing else {})


def within(choice: Choice, budget: float, estimate: dict[str, Any]) -> Choice:
    """The choice without what does not fit into a budget of minutes for its fits.

    The cheap ones come in first, and the cheapest one in any case. Their order stays: without
    defects the first one becomes champion. estimate: `seconds` of the fit of each algorithm.
    """
    seconds = estimate["seconds"]
    taken, names = 0.0, set[str]()
    for name in sorted(choice["algorithms"], key=lambda name: seconds[name]):
        taken += seconds[name]
        if not names or taken <= 60 * budget:
            names.add(name)
    kept = {name: why for name, why in choice["algorithms"].items() if name in names}
    beyond = [name for name in choice["algorithms"] if name not in names]
    return choice | {"algorithms": kept, "beyond": beyond, "budget": budget, "estimate": estimate}


def soon(choice: Choice) -> list[str]:
    """Algorithms whose fits are estimated to take a tenth of the budget at most, each."""
    most = QUICK * 60 * choice.get("budget", 0)
    known = choice.get("estimate", {}).get("seconds", {})
    return [name for name in choice["algorithms"] if known.get(name, most + 1) <= most]


def cheapest_first(choice: Choice, names: list[str]) -> list[str]:
    """The algorithms by the seconds that their fits are estimated to take; those without an
    estimate as they stand, first."""
    seconds = choice.get("estimate", {}).get("seconds", {})
    return sorted(names, key=lambda name: seconds.get(name, 0))


def teachers(images: dict[str, int], products: list[str]) -> list[str]:
    """Products that others learn from, unless params.yaml names them: all but those with a choice
    of algorithms made from a few images; all where that would leave less than two.

    images: of the products with such a choice. So a new product makes nothing stale, and its own
    images, all of which it needs, can set its threshold.
    """
    grown = [product for product in products if images.get(product, FEW + 1) > FEW]
    return grown if len(grown) > 1 else products


def explain(choice: Choice) -> list[str]:
    """The choice in sentences, for a person."""
    lines = [f"{name}: {why}{_about(choice, name)}" for name, why in choice["algorithms"].items()]
    titles = dict(LIMITS)
    for name, over in choice["left_out"].items():
        took = " and ".join(f"{value:.0f} {titles[key]}" for key, value in over.items())
        lines.append(f"{name} is left out: it took {took}, more than the gate allows")
    for name, backbone in choice.get("missing", {}).items():
        if backbone == TEACHER:
            lines.append(
                f"{name} is left out: it has no teacher; `inspectline distil` makes one, and "
                f"algorithms.{name}.teacher of params.yaml names it"
            )
            continue
        lines.append(
            f"{name} is left out: there are no weights of {backbone} on this machine; put its file "
            "into a folder and set INSPECTLINE_WEIGHTS to it"
        )
    return lines + [_beyond(choice, name) for name in choice.get("beyond", [])]


def summary(choice: Choice) -> list[str]:
    """What is trained, how long it takes, and what is left out and why, in a few sentences."""
    named = ", ".join(choice["algorithms"])
    took = f"; their fits take {duration(_taken(choice))}" if "estimate" in choice else ""
    left = [line for line in explain(choice) if " is left out: " in line]
    return [f"algorithms, chosen for {choice['images']} good images: {named}{took}", *left]


def duration(seconds: float) -> str:
    """Estimated seconds as readable text."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _about(choice: Choice, name: str) -> str:
    known = choice.get("estimate", {}).get("seconds", {})
    return f"; {duration(known[name])}" if name in known else ""


def _taken(choice: Choice) -> float:
    return float(sum(choice["estimate"]["seconds"][name] for name in choice["algorithms"]))


def _beyond(choice: Choice, name: str) -> str:
    estimate = choice["estimate"]
    return (
        f"{name} is left out: {duration(estimate['seconds'][name])} on {estimate['on']}, and the "
        f"budget is {choice['budget']:g} min, of which the others take "
        f"{duration(_taken(choice))}; raise line.budget or name it"
    )
