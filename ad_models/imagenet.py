"""The colours of ImageNet, which every backbone was trained with. Numbers only: needs no torch."""

MEAN = (0.485, 0.456, 0.406)  # RGB in 0..1
STD = (0.229, 0.224, 0.225)
