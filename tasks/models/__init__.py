"""One model: fit, load, score and export it, and the files of its evaluation."""
