"""Files that say the label and the mask of images: COCO, CSV, Label Studio."""
