"""What a product's images cannot show yet, and which images are missing."""

from typing import Any

from tasks.metrics.bounds import expected_share, upper_limit
from tasks.spec.automatic import FEW

CONFIDENCE = 0.95


def data_gaps(counts: dict[str, Any]) -> list[str]:
    """Sentences about missing images; counts: those of a validation."""
    good, test, bad = counts["train_good"], counts["test_good"], counts["test_defective"]
    found = []
    if good <= FEW:
        mean, most = 100 * expected_share(0, good), 100 * upper_limit(0, good, CONFIDENCE)
        found.append(
            f"{good} good images: no threshold can promise less than {mean:.0f} % overkill on "
            f"average, and no less than {most:.0f} % with {100 * CONFIDENCE:.0f} % confidence. "
            "Each new good part lowers these limits. They are valid if every picture shows another "
            "part: with several pictures of one part the true limits are higher"
        )
    if not bad:
        found.append(
            "no defective image: AUROC and miss are unknown until some are in test/<defect>, and a "
            "gate cannot ask for them (gates.image_auroc: null)"
        )
    if not test:
        unknown = "overkill on new parts is" if not bad else "image AUROC and overkill are"
        found.append(f"no good image in test/good: {unknown} unknown")
    if bad and not counts["masks"]:
        found.append("no mask in ground_truth/<defect>: pixel AUROC and AUPRO are unknown")
    elif counts["masks"] < bad:
        found.append(f"{bad - counts['masks']} of {bad} defective images have no mask")
    return found
