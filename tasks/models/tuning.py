"""Look for better parameters of an algorithm on one product, with Optuna.

A trial fits on some good images and scores the others, each as it is and with a painted defect.
Its figure is the mean of two AUROCs, of images and of pixels. (With the average precision of pixels
in place of the second, PaDiM drew the defects of a product more sharply and decided worse: an image
AUROC of 0.975, not 1.0, on its test images.) No test image is opened: what they measure later is
still worth something.

The first trial takes the parameters as they are. Trials are kept in a journal below the
workspace's scratch: the same command goes on where it was stopped or killed, and chooses what it
would have chosen. Features of the backbone are shared between trials.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from ad_models import Detector, Run, config, kind
from ad_models.budget import GB
from ad_models.errors import ConfigError, InputError
from ad_models.feature_folder import FeatureFolder
from ad_models.feature_store import TemporaryFeatures
from ad_models.search import Search, ranges
from tasks.build.fingerprint import fingerprint
from tasks.decisions.split import fold_numbers
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.images.tiles import count_tiles
from tasks.metrics.image import image_metrics
from tasks.models.device import choose_device, training_precision
from tasks.models.fitting import FitJob, Rows, progress_callback
from tasks.models.inspector import Inspection, Inspector, inspections
from tasks.models.painted import paint
from tasks.models.torch_model import TorchModel, as_arrays
from tasks.spec.algorithms import known_algorithms, per_product
from tasks.spec.cell_input import cell_input
from tasks.spec.parameters import algorithm_parameters
from tasks.spec.read import read_as_written, read_params
from tasks.spec.recipe import FitRecipe
from tasks.workspace.errors import DataError, SpecError, hint
from tasks.workspace.extras import require
from tasks.workspace.files import read_rows
from tasks.workspace.listener import Listener
from tasks.workspace.lock import SEARCH, lock
from tasks.workspace.paths import Workspace

FEWEST = 8  # good images
MOST = 64  # good images that a trial looks at
FOLDS = 3  # of an algorithm that fits in one pass; another is fitted once, on three quarters
PIXELS = 1 << 14  # of an image, at most, that count
FIGURE = "the mean AUROC of images and of pixels"
Values = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """best: values that differ from the present ones, empty where none are better; figure and
    before: of the best trial and of the parameters as they are."""

    best: Values
    figure: float
    before: float
    trials: int
    refused: int  # trials whose values the algorithm does not take
    complete: bool  # all trials that were asked for are done


@dataclass
class Tuning:
    """One search: what it fits, and how a trial is judged."""

    job: FitJob
    begin: Callable[[], Run]  # the environment of a fit
    spoiled: dict[str, dict[str, str]]  # painted copies by the path of the good image
    groups: list[Rows]  # that are left out in turn
    searched: dict[str, Search] = field(default_factory=dict)

    def figure(self, values: Values) -> float:
        """The mean figure of all groups, with these values over the present parameters."""
        recipe = self.job.recipe
        recipe = recipe.model_copy(update={"parameters": recipe.parameters | values})
        job = replace(self.job, recipe=recipe)
        rows = [row for group in self.groups for row in group]
        judged = self.groups if kind(job.algorithm).one_pass else self.groups[:1]
        return float(np.mean([self.judge(job, rows, group) for group in judged]))

    def judge(self, job: FitJob, rows: Rows, group: Rows) -> float:
        """The figure of one fit without this group."""
        away = {row["path"] for row in group}
        run = self.begin()
        detector = job.again([row for row in rows if row["path"] not in away], run)
        spoiled = [self.spoiled[row["path"]] for row in group]
        masks = [None] * len(group) + [np.load(row["mask"]) for row in spoiled]
        scores, values, truths = [], [], []
        for found, mask in zip(inspected(job, detector, group + spoiled, run), masks, strict=True):
            step = max(1, math.ceil(math.sqrt(found.map.size / PIXELS)))
            scores.append(found.score)
            values.append(found.map[::step, ::step].ravel())
            marked = np.zeros_like(found.map, bool) if mask is None else mask
            truths.append(marked[::step, ::step].ravel())
        images = image_metrics(scores, [mask is not None for mask in masks])
        pixels = image_metrics(np.concatenate(values), np.concatenate(truths))
        return ((images["image_auroc"] or 0.0) + (pixels["image_auroc"] or 0.0)) / 2


def inspected(job: FitJob, detector: Detector, rows: Rows, run: Run) -> Iterator[Inspection]:
    """Score and map of each image, by features where the detector reads nothing else."""
    preprocess = Preprocess(job.recipe.image)
    if not (detector.reads_features and detector.one_pass):
        inspector = Inspector(TorchModel(detector), preprocess)
        for row in rows:
            yield inspector.inspect(read_image(job.images / row["path"]))
        return
    loader = job.feature_loader(detector, rows, run)
    tiles = count_tiles(job.recipe.image.size, job.recipe.image.tile)
    for at in range(len(rows)):
        batch = next(loader.batches([[at]]))
        found = as_arrays(detector.predict(batch.image))
        yield inspections(preprocess, found, [tiles], [loader.shape(at)])[0]


def tune(
    workspace: Workspace,
    product: str,
    algorithm: str,
    listener: Listener,
    trials: int = 20,
    minutes: float | None = None,
    seed: int = 0,
) -> Found:
    """Look for better parameters; a call that was stopped goes on. minutes: after which no trial is
    begun, of this call; seed: of the values that are tried, and of the painted defects."""
    optuna = require("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = prepare(workspace, product, algorithm, listener, seed)
    place = workspace.scratch / "tune" / product
    with lock(place / f"{algorithm}.lock", f"the search for {product} {algorithm}", what=SEARCH):
        file = place / f"{algorithm}.{identity(workspace, product, made, seed)[:16]}.journal"
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(
            study_name="tune", storage=storage, direction="maximize", load_if_exists=True
        )
        return search(optuna, study, made, listener, trials, minutes, seed)


def prepare(
    workspace: Workspace, product: str, algorithm: str, listener: Listener, seed: int
) -> Tuning:
    """What the trials share: good images in groups, their painted copies, a store of features."""
    workspace.require(product)
    read_as_written(workspace.root, product)  # not by what the spec said before a mistake
    if algorithm not in known_algorithms():
        raise SpecError(f"unknown algorithm '{algorithm}'; {hint(algorithm, known_algorithms())}")
    image, training = cell_input(workspace.root, product, algorithm)
    params = read_params(workspace.root)
    parameters = algorithm_parameters(workspace.root, product, algorithm)
    if per_product(algorithm):
        raise SpecError(f"{algorithm} is learned for all products at once; tune knows one product")
    searched = ranges(type(config(algorithm, **parameters)))
    if not searched:
        raise SpecError(f"{algorithm} declares no range to look in; see ad_models/search.py")
    table = workspace.validation(product) / "train.csv"
    if not table.is_file():
        raise DataError(f"{product} is not validated yet; `inspectline run -p {product}` does it")
    rows = sorted(read_rows(table), key=lambda row: row["sha256"])[:MOST]
    if len(rows) < FEWEST:
        raise DataError(f"{product} has {len(rows)} good training images; tune needs {FEWEST}")
    recipe = FitRecipe(parameters=parameters, image=image, training=training)
    store = params.line.features_gb
    features = (
        FeatureFolder(workspace.features, int(store * GB))
        if store
        else TemporaryFeatures(workspace.scratch)
    )
    images = workspace.images(product)
    job = FitJob(product, algorithm, recipe, images, listener, None, features)
    folder, preprocess = workspace.scratch / "tune" / product / "painted", Preprocess(image)
    spoiled = {row["path"]: paint(images, row, folder, preprocess, seed) for row in rows}
    count = FOLDS if kind(algorithm).one_pass else FOLDS + 1
    numbers = fold_numbers([row["sha256"] for row in rows], count)
    groups = [
        [row for row, part in zip(rows, numbers, strict=True) if part == number]
        for number in range(count)
    ]
    device = choose_device(params.line.device)
    precision = training_precision(training.precision, device)
    tell, stop = progress_callback(listener), listener.should_stop
    begin = partial(Run, device, report=tell, should_stop=stop, precision=precision)
    return Tuning(job, begin, spoiled, groups, searched)


def identity(workspace: Workspace, product: str, made: Tuning, seed: int) -> str:
    """Differs where a figure could: images, parameters, ranges, code."""
    table = read_rows(workspace.validation(product) / "train.csv")
    about = {
        "images": sorted(row["sha256"] for row in table),
        "recipe": made.job.recipe.model_dump(mode="json"),
        "ranges": {name: repr(one) for name, one in made.searched.items()},
        "code": [fingerprint("fit"), fingerprint(made.job.algorithm)],
        "figure": FIGURE,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def search(
    optuna: Any,
    study: Any,
    made: Tuning,
    listener: Listener,
    trials: int,
    minutes: float | None,
    seed: int,
) -> Found:
    """Trials until there are so many, or the time is over."""
    states = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):  # of one killed
        study.tell(trial.number, state=states.FAIL)
    began, done = time.monotonic(), finished(study)
    first = len(done)
    if first:
        listener.say(f"going on after {first} trials, the best {best_of(done).value:.4f}")
    while len(done) < trials:
        taken = time.monotonic() - began
        if minutes is not None and (taken >= 60 * minutes and len(done) > first):
            break
        # seeded by how many are done: a search that was killed goes on as if it had not been
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=8)
        trial = study.ask()
        values = {name: suggest(trial, name, one) for name, one in made.searched.items() if done}
        try:
            study.tell(trial, made.figure(values))
        except (ConfigError, InputError, DataError) as error:
            if not done:
                raise  # the parameters as they are cannot be used either
            trial.set_user_attr("why", str(error))
            study.tell(trial, state=states.PRUNED)
        done = finished(study)
        left = (time.monotonic() - began) / (len(done) - first) * (trials - len(done))
        listener.say(told(done, trials, left))
    return found_in(done, made, trials)


def finished(study: Any) -> list[Any]:
    """Trials with a figure, or whose values the algorithm does not take, in their order."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


def best_of(done: list[Any]) -> Any:
    """The best trial; of equal ones the first."""
    return max((one for one in done if one.value is not None), key=lambda one: one.value)


def suggest(trial: Any, name: str, searched: Search) -> Any:
    """A value for a trial, rounded as a person would write it."""
    if searched.choices:
        return trial.suggest_categorical(name, searched.choices)
    low, high = searched.low, searched.high
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=searched.log)
    return float(f"{trial.suggest_float(name, low, high, log=searched.log):.3g}")


def values_of(trial: Any, searched: dict[str, Search]) -> Values:
    """The values that a trial took."""
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in trial.params.items()
        if name in searched
    }


def told(done: list[Any], trials: int, left: float) -> str:
    """A line on the last trial."""
    last = done[-1]
    figure = "not possible" if last.value is None else f"{last.value:.4f}"
    values = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in last.params.items()
    )
    more = f"; about {timedelta(seconds=round(left))} left" if len(done) < trials else ""
    return (
        f"trial {len(done)}/{trials}: {figure} (best {best_of(done).value:.4f}), "
        f"{values or 'as it is now'}{more}"
    )


def found_in(done: list[Any], made: Tuning, trials: int) -> Found:
    """What the trials say together."""
    best, before = best_of(done), done[0].value
    now = made.job.recipe.parameters
    best_values = values_of(best, made.searched)
    changed = {name: value for name, value in best_values.items() if now.get(name) != value}
    refused = sum(one.value is None for one in done)
    return Found(changed, best.value, before, len(done), refused, len(done) >= trials)
