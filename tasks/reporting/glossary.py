"""The words that the pages use without saying what they mean; docs/glossary.md lists the same."""

TERMS = {
    "product": "one kind of part, with its images and its spec; everything is decided per product",
    "cell": "one algorithm trained and evaluated on one product",
    "calibration": "good images that the fit did not see: their scores set the threshold",
    "threshold": "the score above which a part is called defective; scores are never rescaled",
    "miss": "a defective part that is called good; as a rate, of all defective test images",
    "overkill": "a good part that is called defective; as a rate, of all good test images",
    "AUROC": "the chance that a defective image (or pixel) scores above a good one; 1 is best",
    "AUPRO": "how much of each defect is covered, averaged up to a limit of the false positive "
    "rate of pixels (0.3 or 0.05); small defects count as much as large ones",
    "release": "a published model with its threshold and figures; written once, never changed",
    "gate": "the check before a promotion: the limits of the spec, and the comparison with the "
    "champion on the same images",
    "champion": "the release that inspects now; each product has at most one",
    "drift": "production no longer looks like the images that the champion was made from",
}
