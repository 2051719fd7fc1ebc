"""Find the known images that are most similar to an image, and the object in it.

Li et al., IEEE TIP 2024, sections 3.2 and 3.4 (see ad_models.algorithms.cpr): each feature is
assigned to the nearest of a few visual words; images are similar if the words have similar shares
in each of 5 x 5 blocks. A linear discriminant between the border and the middle separates the
object from its background. Blocks share the positions at their borders if the grid is not a
multiple of five; the order of the divergence and its sum over four fifths of the blocks follow the
official code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = 5  # a side, of the histograms; official code
SAMPLED = 50_000  # features that k-means sees; official code
WHOLE = 1e8  # a word that a block lacks has one part in so many; official code
TIE = 1e-5  # divergence that decides nothing: rounding is a fifth of it


class Retrieval(nn.Module):
    """The known images (N) by their histograms and foregrounds."""

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.centres: Tensor
        self.register_buffer("centres", torch.zeros(words, channels))  # of the visual words
        self.register_buffer("plane", torch.zeros(channels))  # foreground: plane . feature + offset
        self.register_buffer("offset", torch.ones(()))
        self.register_buffer("histograms", torch.empty(0))  # (N, words, 25)
        self.register_buffer("fronts", torch.empty(0))  # (N, 1, h, w)

    def learn(self, features: Tensor, objects: bool, seed: int) -> None:
        """Learn images from their features (N, C, h, w); without `objects` the whole image is
        foreground."""
        flat = features.movedim(1, -1).flatten(0, 2)  # (N * P, C)
        sample = flat[torch.randperm(len(flat))[:SAMPLED].to(flat.device)].cpu()
        self.centres = means(sample, len(self.centres), seed).to(features)
        self.plane, self.offset = torch.zeros_like(flat[0]), torch.ones_like(flat[0, 0])
        if objects:
            two = means(sample, 2, seed).to(features)
            side = nearest(flat, two).unflatten(0, (len(features), -1))
            if found := front_plane(flat, side, features.shape[-2:]):
                self.plane, self.offset = found
        self.histograms, self.fronts = self.histogram(features), self.front(features)

    def histogram(self, features: Tensor) -> Tensor:
        """Shares (B, words, 25) of each visual word in each block of features (B, C, h, w)."""
        named = nearest(features.flatten(2).mT, self.centres).unsqueeze(-1)
        words = (named == torch.arange(len(self.centres), device=named.device)).float()
        maps = words.mT.unflatten(2, features.shape[-2:])
        return F.adaptive_avg_pool2d(maps, BLOCKS).flatten(2)

    def front(self, features: Tensor) -> Tensor:
        """How much each position of features (B, C, h, w) belongs to the object: (B, 1, h, w),
        0..1."""
        found = torch.einsum("bchw,c->bhw", features, self.plane) + self.offset
        return found.clamp(0, 1).unsqueeze(1)

    def like(self, features: Tensor, count: int) -> Tensor:
        """The `count` known images (B, count), or all, most like each of features (B, C, h, w)."""
        unlike = divergence(self.histogram(features), self.histograms)
        return lowest(unlike, min(count, len(self.histograms)))


def means(sample: Tensor, count: int, seed: int) -> Tensor:
    """Centres (count, C) of k-means on (N, C)."""
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=10, random_state=seed).fit(sample.numpy())
    return torch.from_numpy(found.cluster_centers_)


def nearest(features: Tensor, centres: Tensor) -> Tensor:
    """The index of the nearest centre (K, C) for each feature (..., C)."""
    return (centres.square().sum(1) - 2 * features @ centres.mT).argmin(-1)  # less |x|^2


def divergence(query: Tensor, reference: Tensor) -> Tensor:
    """Divergence of histograms (B, words, 25) and (N, words, 25): (B, N).

    The Kullback-Leibler divergence of each block, summed over the four fifths that fit best.
    """
    # in units of what is added to each share: ONNX's exporter takes + 1e-8 for + 0
    query, reference = WHOLE * query.unsqueeze(1) + 1, WHOLE * reference.unsqueeze(0) + 1
    blocks = (query * (query / reference).log()).sum(2) / WHOLE  # (B, N, 25)
    return blocks.topk(BLOCKS * BLOCKS * 4 // 5, largest=False).values.sum(-1)


def lowest(unlike: Tensor, count: int) -> Tensor:
    """Indices (B, count) of the lowest values of unlike (B, N), the first of equal ones: rounding
    must not decide, otherwise an exported graph retrieves other images."""
    order = TIE * torch.arange(unlike.shape[1], device=unlike.device)
    return (unlike + order).topk(count, largest=False).indices


def front_plane(flat: Tensor, side: Tensor, grid: torch.Size) -> tuple[Tensor, Tensor] | None:
    """Plane and offset of the linear discriminant between border and middle, scaled to 0..1.

    side (N, P) in 0, 1 divides the features flat (N * P, C) into two groups; the group that is more
    frequent along the border is the background. None if the middle contains only background.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    height, width = grid
    rows = torch.arange(height, device=flat.device).add(0.5) / height
    columns = torch.arange(width, device=flat.device).add(0.5) / width
    edge = [torch.minimum(at, 1 - at) for at in (rows, columns)]
    strip = max(3 / 80, 0.5 / min(height, width) + 1e-6)  # one position at least
    border = ((edge[0][:, None] < strip) | (edge[1][None] < strip)).flatten()
    middle = ((edge[0][:, None] > 0.3) & (edge[1][None] > 0.3)).flatten()
    back = side[:, border].float().mean().round().long()
    samples, labels = [], []
    for label, (place, which) in enumerate(((border, side == back), (middle, side != back))):
        found = flat[(which & place).flatten()]
        found = found[torch.randperm(len(found))[:15_000].to(found.device)]
        if len(found) < 2:
            return None
        samples.append(found.cpu())
        labels += [label] * len(found)
    rule = LinearDiscriminantAnalysis().fit(torch.cat(samples).numpy(), labels)
    plane = torch.from_numpy(rule.coef_[0]).to(flat)
    values = (flat[:: max(1, len(flat) // 1_000_000)] @ plane).sort().values
    low, high = values[len(values) // 100], values[-1 - len(values) // 100]
    spread = (high - low).clamp(min=1e-12)
    return plane / spread, -low / spread
