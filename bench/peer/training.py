"""The losses of crates/train in PyTorch, by the usual means of Mask2Former and PointRend.

Legend: B pictures, M prompts of all pictures, L heads (one before the decoder's layers and one after each),
Q queries, C width, h×w a mask's cells, N points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from .network import LARGEST_SCALE, Network, normalized
from .query_decoder import Heads

MASK_WEIGHT, DICE_WEIGHT, SIMILARITY_WEIGHT, CATEGORY_WEIGHT, PRESENCE_WEIGHT = 5.0, 5.0, 2.0, 1.0, 1.0
POINTS, OVERSAMPLING, IMPORTANCE = 12_544, 3.0, 0.75
BACKGROUND = 16


@dataclass(frozen=True)
class Batch:
    """Pictures and prompts of one step."""

    image: Tensor
    """`[B, 3, S, S]`, normalised."""
    ids: Tensor
    """`[n, T]` of the distinct phrases, the 17 class names first."""
    lengths: Tensor
    """`[n]`, markers included."""
    picture: Tensor
    """`[M]`, each prompt's picture."""
    phrase: Tensor
    """`[M]`, each prompt's phrase."""
    mask: Tensor
    """`[M, S, S]`, 0 or 1; all zero where what is asked for is absent."""
    category: Tensor
    """`[M]`, each prompt's class of the bank."""

    @property
    def is_present(self) -> Tensor:
        """`[M]`."""
        return self.mask.flatten(1).any(1)

    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Token rows `[B, W, C]` of each picture's prompts, padded, and which of them are words `[B, W]`."""
        rows: list[list[Tensor]] = [[] for _ in range(len(self.image))]
        for picture, phrase in zip(self.picture.tolist(), self.phrase.tolist(), strict=True):
            rows[picture].append(tokens[phrase, : int(self.lengths[phrase])])
        sentences = [torch.cat(row) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(sentences, batch_first=True)
        counts = torch.tensor([len(sentence) for sentence in sentences])
        return padded, torch.arange(padded.shape[1])[None] < counts[:, None]


def loss(network: Network, batch: Batch) -> Tensor:
    """The weighted sum of all terms, each averaged over prompts and heads; a scalar."""
    mask_features, levels = network.encode_image(batch.image)
    tokens = network.encode_text(batch.ids)
    words, is_word = batch.words(tokens)
    every = network.decode(mask_features, levels, words, is_word)

    sentences = normalized(tokens[torch.arange(len(tokens)), batch.lengths - 1])
    queries = normalized(torch.stack([head.class_embed for head in every]))  # [L, B, Q, C]
    scale = network.logit_scale.exp()
    of_prompts = queries[:, batch.picture]  # [L, M, Q, C]
    likeness = torch.einsum("lmqc,mc->lmq", of_prompts, sentences[batch.phrase])
    log_shares = F.log_softmax(likeness * scale.clamp(max=LARGEST_SCALE), 2)
    matched = torch.stack(
        [match(head, shares, batch) for head, shares in zip(every, log_shares.detach(), strict=True)]
    )  # [L, M]
    chosen = matched[..., None]
    similarity = -log_shares.gather(2, chosen).mean()

    mask, dice = mask_losses(every, matched, batch)
    bank = sentences[: BACKGROUND + 1]
    matched_queries = of_prompts.take_along_dim(chosen[..., None], 2).squeeze(2)  # [L, M, C]
    category = torch.where(batch.is_present, batch.category, BACKGROUND).expand(len(every), -1)
    category_loss = F.cross_entropy((scale * (matched_queries @ bank.T)).flatten(0, 1), category.flatten())
    total = MASK_WEIGHT * mask + DICE_WEIGHT * dice + SIMILARITY_WEIGHT * similarity + CATEGORY_WEIGHT * category_loss
    if every[0].presence is not None:
        presence = torch.stack([head.presence[batch.picture] for head in every])  # type: ignore[index]  # [L, M, Q]
        truth = batch.is_present.float().expand(len(every), -1)
        logits = presence.gather(2, chosen).squeeze(2)
        total = total + PRESENCE_WEIGHT * F.binary_cross_entropy_with_logits(logits, truth)
    return total


@torch.no_grad()
def match(head: Heads, log_shares: Tensor, batch: Batch) -> Tensor:
    """`[M]`: the query of each prompt in the assignment of least cost, compared at every cell of the masks.

    `log_shares` is `[M, Q]`. A query answers at most one prompt of its picture.
    """
    truths = F.interpolate(batch.mask[:, None], head.masks.shape[2:], mode="area").flatten(1)  # [M, hw]
    matched = torch.zeros(len(truths), dtype=torch.long)
    for picture, logits in enumerate(head.masks.flatten(2)):
        prompts = (batch.picture == picture).nonzero().squeeze(1)
        truth, open_to = truths[prompts], logits.sigmoid()
        entropy = (F.softplus(logits).sum(1) - truth @ logits.T) / logits.shape[1]
        dice = 1 - (2 * truth @ open_to.T + 1) / (truth.sum(1, keepdim=True) + open_to.sum(1) + 1)
        cost = MASK_WEIGHT * entropy + DICE_WEIGHT * dice - SIMILARITY_WEIGHT * log_shares[prompts]
        rows, columns = linear_sum_assignment(cost.numpy())
        matched[prompts[rows]] = torch.from_numpy(columns)
    return matched


def mask_losses(every: list[Heads], matched: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and Dice loss of the matched masks, compared at points; two scalars."""
    masks = torch.stack([head.masks[batch.picture, queries] for head, queries in zip(every, matched, strict=True)])
    logits = masks.flatten(0, 1)[:, None]  # [LM, 1, h, w]
    truths = batch.mask.repeat(len(every), 1, 1)[:, None]  # [LM, 1, S, S]
    with torch.no_grad():
        points = uncertain_points(logits)
        targets = at_points(truths, points)
    found = at_points(logits, points)
    entropy = F.binary_cross_entropy_with_logits(found, targets)
    open_to = found.sigmoid()
    overlap = 2 * (open_to * targets).sum(1) + 1
    return entropy, (1 - overlap / (open_to.sum(1) + targets.sum(1) + 1)).mean()


def uncertain_points(logits: Tensor) -> Tensor:
    """`[LM, N, 2]` in `[0, 1)²`: those of the candidates where masks `[LM, 1, h, w]` are least certain, and others."""
    count = len(logits)
    candidates = torch.rand(count, int(POINTS * OVERSAMPLING), 2)
    kept = int(POINTS * IMPORTANCE)
    order = at_points(logits, candidates).abs().topk(kept, 1, largest=False).indices
    uncertain = candidates.take_along_dim(order[..., None], 1)
    return torch.cat((uncertain, torch.rand(count, POINTS - kept, 2)), 1)


def at_points(maps: Tensor, points: Tensor) -> Tensor:
    """`[LM, N]`: bilinear values of `[LM, 1, h, w]` at `[LM, N, 2]`; beyond the outermost centres is the border's."""
    grid = (2 * points - 1)[:, :, None]
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, 0, :, 0]
