"""The first spec of a product, with a comment on each choice."""

from collections.abc import Collection
from pathlib import Path

from tasks.metrics.bounds import expected_share
from tasks.products.detail import detail
from tasks.products.image_summary import ImageSummary
from tasks.spec.read import read_yaml

STANDARD = "standard"  # a preset that params.yaml of an older workspace does not have
TEMPLATE = Path(__file__).with_name("product.yaml.j2")


def proposed_spec(
    product: str,
    seen: ImageSummary,
    default: tuple[int, int] | None = None,
    presets: Collection[str] = (),
) -> str:
    """The text of product.yaml for these images. The `default` size (height, width) is not set: a
    preset may have its own. presets: that can be named."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    (height, width), usual = seen.size, max(seen.sizes, key=lambda size: seen.sizes[size])
    text = environment.from_string(TEMPLATE.read_text()).render(
        product=product,
        images=seen.images,
        standard=STANDARD in presets,
        defects=seen.defects,
        tested=seen.tested,
        size=str(height) if height == width else f"[{height}, {width}]",
        left=seen.size == default,
        usual=f"{usual[1]} x {usual[0]}",
        several=len(seen.sizes) > 1,
        differ=seen.differ,
        detail=detail(seen),
        color="grey" if seen.grey else "rgb",
        bits=seen.bits,
        region=list(seen.region) if seen.region else None,
        share=seen.region[2] * seen.region[3] / (usual[0] * usual[1]) if seen.region else None,
        promised=expected_share(0, seen.images),
    )
    return text


def spec_from_product(text: str, product: str, like: str, similarity: float | None) -> str:
    """The first spec of a product, copied from another product."""
    why = "" if similarity is None else f", whose images are the most similar ({similarity:.2f})"
    head = f"# The spec of {product}, started from that of {like}{why}.\n"
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return head + "".join(lines).lstrip("\n")


def spec_conflicts(spec: Path, seen: ImageSummary) -> list[str]:
    """Conflicts between a spec copied from another product and these images."""
    image = read_yaml(spec).get("image") or {}
    found = []
    if image.get("bits") != seen.bits:
        used = f"use {seen.bits} of 16 bits" if seen.bits else "use all their bits"
        found.append(f"image.bits is {image.get('bits')}, and these images {used}")
    if image.get("color") == "grey" and not seen.grey:
        found.append("image.color is grey, and these images have colour")
    if roi := image.get("roi"):
        left, top, width, height = roi
        if any(left + width > w or top + height > h for h, w in seen.sizes):
            found.append(f"image.roi {roi} reaches outside some of these images")
    return found
