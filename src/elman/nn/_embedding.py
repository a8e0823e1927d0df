"""From token indices to vectors, and from hidden states to a score for every token."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from elman._errors import ConfigError, ShapeError


class Embedding(torch.nn.Embedding):
    r"""A learned vector for each token.

    .. math:: x_t = E_{w_t}

    Args:
        vocabulary_size: how many tokens (V).
        size: the length of a vector (I).

    Shapes: indices (...) to vectors (..., I). ``weight`` is (V, I), drawn from N(0, 1) as in torch.

    Raises:
        ConfigError: a size is less than 1.

    Example:
        >>> Embedding(100, 8)(torch.tensor([[3, 1, 4]])).shape
        torch.Size([1, 3, 8])

    References:
        Bengio et al. (2003), https://www.jmlr.org/papers/v3/bengio03a.html
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check(vocabulary_size=vocabulary_size, size=size)
        super().__init__(vocabulary_size, size, device=device, dtype=dtype)

    @property
    def output_size(self) -> int:
        """The length of a vector."""
        return self.embedding_dim

    @torch.no_grad()
    def start_from(self, vectors: Tensor, present: Tensor) -> None:
        """Take pre-trained vectors for the tokens that have one.

        The others, ``<unk>`` among them, are drawn from a normal distribution with the mean and
        the deviation of those, component by component. ``weight.requires_grad_(False)`` freezes
        all of them, drawn ones too.

        Args:
            vectors: (V, I); only rows that are ``present`` count, see `elman.data.read_vectors`.
            present: booleans (V,), at least one true.

        Raises:
            ShapeError: the vectors are not (V, I).

        Example:
            >>> embedding = Embedding(3, 2)
            >>> embedding.start_from(torch.eye(3, 2), torch.tensor([True, True, False]))
            >>> embedding.weight[:2].tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        if vectors.shape != self.weight.shape:
            raise ShapeError(
                f"vectors of shape {tuple(self.weight.shape)} were expected, got "
                f"{tuple(vectors.shape)}: make the embedding as long as the vectors"
            )
        known = vectors[present]
        drawn = known.mean(0) + known.std(0, correction=0) * torch.randn_like(vectors)
        self.weight.copy_(torch.where(present.unsqueeze(1), vectors, drawn))


class OneHot(torch.nn.Module):
    r"""A unit vector for each token: an `Embedding` whose weight is the identity.

    .. math:: x_t = e_{w_t}

    Args:
        vocabulary_size: how many tokens (V), and the length of a vector.

    Shapes: indices (...) to vectors (..., V), of the dtype that the module was made with or moved
    to. There is no weight.

    Raises:
        ConfigError: the size is less than 1.

    Example:
        >>> OneHot(4)(torch.tensor([2, 0]))
        tensor([[0., 0., 1., 0.],
                [1., 0., 0., 0.]])
    """

    like: Tensor

    def __init__(
        self,
        vocabulary_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check(vocabulary_size=vocabulary_size)
        self.output_size = vocabulary_size
        # It holds nothing, but follows .to(dtype), as a weight would.
        self.register_buffer("like", torch.empty(0, device=device, dtype=dtype), persistent=False)

    def forward(self, indices: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch V"]:
        return F.one_hot(indices, self.output_size).to(self.like.dtype)

    def extra_repr(self) -> str:
        return str(self.output_size)


class OutputLayer(torch.nn.Linear):
    r"""A score (logit) for every token, from the hidden state.

    .. math:: z_y = W_{hy} h + b_y

    Args:
        input_size: the length of the hidden state (H).
        vocabulary_size: how many tokens (V).
        bias: whether there is a b_y.
        tie: an `Embedding` of these sizes, whose weight is then W_hy too: one parameter.

    Shapes: states (..., H) to scores (..., V). ``weight`` is (V, H), ``bias`` (V,).

    Raises:
        ConfigError: a size is less than 1, or the embedding's sizes are not these.

    Example:
        >>> embedding = Embedding(100, 8)
        >>> output = OutputLayer(8, 100, tie=embedding)
        >>> output.weight is embedding.weight
        True

    References:
        Press & Wolf (2017), https://arxiv.org/abs/1608.05859, for tied weights.
    """

    def __init__(
        self,
        input_size: int,
        vocabulary_size: int,
        *,
        bias: bool = True,
        tie: Embedding | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check(input_size=input_size, vocabulary_size=vocabulary_size)
        super().__init__(input_size, vocabulary_size, bias=bias, device=device, dtype=dtype)
        if tie is not None:
            self.weight = _tied(tie, input_size, vocabulary_size)

    @property
    def output_size(self) -> int:
        """How many tokens are scored."""
        return self.out_features


def _tied(embedding: torch.nn.Module, input_size: int, vocabulary_size: int) -> Tensor:
    if not isinstance(embedding, Embedding):
        raise ConfigError(
            f"only a learned embedding has a weight to tie, got {type(embedding).__name__}: "
            "use Embedding, or do not tie the output layer"
        )
    if embedding.weight.shape != (vocabulary_size, input_size):
        raise ConfigError(
            f"tied weights need an embedding of {vocabulary_size} tokens x {input_size}, got "
            f"{embedding.num_embeddings} x {embedding.embedding_dim}: make the embedding as long "
            "as the hidden state, or do not tie the output layer"
        )
    return embedding.weight


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, got {size}")
