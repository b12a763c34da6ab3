"""Translates sentences with a small encoder–decoder over sub-words, trained on a processor in minutes.

Both languages share one table of sub-words and their vectors, which is the output layer as well. The recurrent body
attends between its two decoder layers, so that a whole target is read in two calls. Beam search hands on what a body
needs of a beginning, its state: the recurrent one's last two vectors, the Transformer's whole beginning.

Sources: Luong et al. (2015), arXiv 1508.04025, section 3.1, for the attention; Vaswani et al. (2017), arXiv 1706.03762,
for the Transformer; Press and Wolf (2017) for tied embeddings. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import sentencepiece
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from tqdm import tqdm

from slubook.ch1_skills.tables import text_key
from slubook.ch1_skills.training import TrainingConfig, batches
from slubook.ch3_elmol.bilm_training import TrainingState, warm_cosine
from slubook.corpora.parallel import Pair, spoken
from slubook.experiments.kept import Artefacts, opened, state_of, write
from slubook.files import replaced_folder
from slubook.profiles import seed_everything

PAD, UNKNOWN, START, END = range(4)
WHAT = "translator"
#: Of the training: raise it when the same pairs and settings come to train another model.
REVISION = 1


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes, steps and rates."""

    body: Literal["recurrent", "transformer"] = "recurrent"
    pieces: int = 3000  # sub-words of both languages together
    width: int = 256  # of vectors and states
    layers: int = 1  # of the encoder; the Transformer's decoder has as many
    dropout: float = 0.3
    smoothing: float = 0.1  # of labels
    batch: int = 64
    updates: int = 5000
    rate: float = 2e-3
    longest: int = 50  # sub-words of a sentence; longer pairs are left out


class Translation(NamedTuple):
    """One translation of a list of the best, and ln P of it."""

    text: str
    log_prob: float


class Recurrent(nn.Module):
    """A bidirectional GRU reads; a GRU attends to what it read; another one writes."""

    def __init__(self, c: TranslatorConfig) -> None:
        super().__init__()
        w = c.width
        self.encoder = nn.GRU(w, w // 2, c.layers, batch_first=True, bidirectional=True)
        self.reader, self.writer = nn.GRU(w, w, batch_first=True), nn.GRU(2 * w, w, batch_first=True)
        self.begin, self.query, self.mix = nn.Linear(w, 2 * w), nn.Linear(w, w, bias=False), nn.Linear(2 * w, w)
        self.dropout = nn.Dropout(c.dropout)

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """Returns the states of source vectors, both [B, S, W]; ``mask`` [B, S] is true at sub-words."""
        packed = pack_padded_sequence(source, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=source.shape[1])[0]

    def decode(
        self, target: Tensor, memory: Tensor, mask: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns what is said next after each target vector, both [B, T, W], given the encoder's states [B, S, W].

        ``state``, [B, 2 W], is of what was read before; the new one is returned as well.
        """
        if state is None:
            state = torch.tanh(self.begin(memory.sum(1) / mask.sum(1, keepdim=True)))
        first, second = state.unsqueeze(0).chunk(2, -1)
        read, first = self.reader(target, first.contiguous())
        scores = self.query(read) @ memory.transpose(1, 2) / math.sqrt(memory.shape[2])  # [B, T, S]
        context = scores.masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(2) @ memory
        written, second = self.writer(self.dropout(torch.cat([read, context], 2)), second.contiguous())
        hidden = self.dropout(torch.tanh(self.mix(torch.cat([written, context], 2))))
        return hidden, torch.cat([first[0], second[0]], 1)


class Transformer(nn.Module):
    """The same with attention alone, and learned positions."""

    def __init__(self, c: TranslatorConfig) -> None:
        super().__init__()
        shape = {"d_model": c.width, "nhead": 4, "dim_feedforward": 2 * c.width, "dropout": c.dropout}
        extra = {"batch_first": True, "norm_first": True}
        norms = [nn.LayerNorm(c.width) for _ in range(2)]
        encoder, decoder = nn.TransformerEncoderLayer(**shape, **extra), nn.TransformerDecoderLayer(**shape, **extra)
        self.encoder = nn.TransformerEncoder(encoder, c.layers, norms[0], enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, c.layers, norms[1])
        self.places = nn.Parameter(torch.randn(2, 2 * c.longest + 10, c.width) * 0.1)

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """Returns the states of source vectors, as :meth:`Recurrent.encode` does."""
        return self.encoder(source + self.places[0, : source.shape[1]], src_key_padding_mask=~mask)

    def decode(
        self, target: Tensor, memory: Tensor, mask: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns what is said next after each target vector, as :meth:`Recurrent.decode` does."""
        new, whole = target.shape[1], target if state is None else torch.cat([state, target], 1)
        length = whole.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1)
        hidden = self.decoder(whole + self.places[1, :length], memory, later, memory_key_padding_mask=~mask)
        return hidden[:, -new:], whole


class TranslationNetwork(nn.Module):
    """A table of sub-word vectors, which is the output layer as well, around a body."""

    def __init__(self, config: TranslatorConfig, pieces: int) -> None:
        super().__init__()
        self.table, self.bias = nn.Embedding(pieces, config.width, PAD), nn.Parameter(torch.zeros(pieces))
        nn.init.normal_(self.table.weight, std=config.width**-0.5)
        self.body = {"recurrent": Recurrent, "transformer": Transformer}[config.body](config)
        self.dropout = nn.Dropout(config.dropout)

    def vectors(self, ids: Tensor) -> Tensor:
        """Returns the vectors [B, T, W] of sub-words [B, T], about as long as the square root of W."""
        return self.dropout(self.table(ids) * math.sqrt(self.table.embedding_dim))

    def encode(self, source: Tensor) -> Tensor:
        """Returns the states [B, S, W] of source sub-words [B, S]."""
        return self.body.encode(self.vectors(source), source != PAD)

    def logits(
        self, target: Tensor, memory: Tensor, source: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the scores [B, T, pieces] of what follows each target sub-word [B, T], and the state after them."""
        hidden, state = self.body.decode(self.vectors(target), memory, source != PAD, state)
        return F.linear(hidden, self.table.weight, self.bias), state


class Translator:
    """A trained network with its sub-words.

    Attributes:
        network: in evaluation mode.
        pieces: the sub-word model.
        config: of its training.
        about: what it was trained on and how, for people and stamps.
    """

    def __init__(self, network: TranslationNetwork, pieces: bytes, config: TranslatorConfig, about: dict) -> None:
        self.network, self.config, self.about, self.serialized = network, config, about, pieces
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=pieces)

    @property
    def stamp(self) -> str:
        """Returns a hash of sub-words and weights."""
        digest = hashlib.sha256(self.serialized)
        for values in self.network.state_dict().values():
            digest.update(values.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def ids(self, text: str) -> list[int]:
        """Returns the sub-words of a text as it is said, with an end mark."""
        return [*self.pieces.encode(" ".join(spoken(text))), END]

    def save(self, folder: Path) -> None:
        """Writes the translator whole or not at all."""
        weights = {f"network.{name}": values for name, values in self.network.state_dict().items()}
        weights["pieces"] = torch.frombuffer(bytearray(self.serialized), dtype=torch.uint8)
        with replaced_folder(folder) as draft:
            write(draft, {"config": asdict(self.config), "about": self.about}, weights)

    @classmethod
    def load(cls, folder: Path) -> Translator:
        """Reads a translator; raises FileNotFoundError where there is none, KeptError where it is damaged."""
        with opened(folder, WHAT, "train it with `slubook run bootstrapping`") as (facts, weights):
            config = TranslatorConfig(**facts["config"])
            serialized = weights.pop("pieces").numpy().tobytes()
            network = TranslationNetwork(config, len(weights["network.bias"]))
            network.load_state_dict({name.removeprefix("network."): values for name, values in weights.items()})
            return cls(network.eval(), serialized, config, facts["about"])


#: Every translator that is kept.
TRANSLATORS = Artefacts(WHAT, "translators", Translator.load, lambda translator: translator.about.get("kept_key"))


def learn_pieces(texts: Sequence[str], size: int) -> bytes:
    """Learns sub-words by byte-pair encoding; fewer than ``size`` where the text is too small for so many.

    Raises:
        ValueError: when there is no text.
    """
    lines = [line for text in texts if (line := " ".join(spoken(text)))]
    if not lines:
        raise ValueError("sub-words cannot be learned from no text")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=size, model_type="bpe", hard_vocab_limit=False,
        character_coverage=1.0, pad_id=PAD, unk_id=UNKNOWN, bos_id=START, eos_id=END, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def train_translator(
    pairs: Sequence[Pair],
    config: TranslatorConfig | None = None,
    seed: int = 0,
    *,
    start: Translator | None = None,
    also: Sequence[str] = (),
    keep: Path | None = None,
    every: int = 500,
    device: str = "cpu",
) -> Translator:
    """Trains a translator from English into Hindi; the rate rises for a tenth of the updates, then falls.

    Args:
        pairs: what it learns from.
        config: sizes, steps and rates.
        seed: of everything drawn.
        start: a translator to fine-tune, whose sub-words stay; a new one is trained for ``None``.
        also: texts without translation that the sub-words are to cover as well.
        keep: a file for the state of the training, which resumes from it.
        every: updates after which the state is kept.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        KeptError: when ``keep`` is damaged or of another training.
        ValueError: when there are no pairs, or all are too long.
    """
    c, begun = config or TranslatorConfig(), time.perf_counter()
    seed_everything(seed, threads=1)
    serialized = start.serialized if start else learn_pieces([*(t for pair in pairs for t in pair), *also], c.pieces)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    network = TranslationNetwork(c, pieces.get_piece_size())
    translator = Translator(network, serialized, c, {})
    if start:
        network.load_state_dict(start.network.state_dict())
    examples = [tuple(torch.tensor(translator.ids(text)) for text in pair) for pair in pairs]
    examples = [both for both in examples if max(map(len, both)) <= c.longest]
    if not examples:
        raise ValueError(f"none of {len(pairs)} sentence pairs has at most {c.longest} sub-words a side")
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), c.rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    state, key = TrainingState(network, optimizer, device), training_key(pairs, c, seed, start, also)
    if keep is not None and keep.is_file():
        state.restore(keep, key)
    order = batches([len(hindi) for _, hindi in examples], TrainingConfig(batch=c.batch, updates=c.updates), seed)
    bar = tqdm(total=c.updates, initial=state.done, desc=WHAT, unit="update", mininterval=2, disable=None)
    with bar:
        while state.done < c.updates:
            english, hindi = zip(*(examples[i] for i in order[state.done]), strict=True)
            source, target = (pad_sequence(some, True, PAD).to(device) for some in (english, hindi))
            shifted = F.pad(target[:, :-1], (1, 0), value=START)
            logits, _ = network.logits(shifted, network.encode(source), source)
            loss = F.cross_entropy(
                logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=c.smoothing
            )
            optimizer.param_groups[0]["lr"] = c.rate * warm_cosine((state.done + 1) / c.updates)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            state.done += 1
            if keep is not None and state.done % every == 0 and state.done < c.updates:
                state.save(keep, key, time.perf_counter() - begun)
            bar.update()
    seconds = round(state.seconds + time.perf_counter() - begun, 1)
    translator.about = {"kept_key": key, "pairs": len(examples), "seconds": seconds, "devices": state.devices}
    network.to("cpu").eval()
    return translator


def training_key(
    pairs: Sequence[Pair], config: TranslatorConfig, seed: int, start: Translator | None, also: Sequence[str]
) -> str:
    """Returns a hash of all that a trained translator depends on."""
    settings = (REVISION, config, seed, start.stamp if start else "")
    return text_key([*pairs, *([text] for text in also)], settings)


def kept_translator(
    name: str,
    pairs: Sequence[Pair],
    config: TranslatorConfig,
    seed: int = 0,
    *,
    start: Translator | None = None,
    also: Sequence[str] = (),
    device: str = "cpu",
) -> Translator:
    """Returns the translator ``name``: the one that is kept if it had the same pairs and settings, else a new one.

    A training that was stopped resumes. Arguments are those of :func:`train_translator`.

    Raises:
        KeptError, OSError: as :meth:`slubook.experiments.kept.Artefacts.kept` does.
    """
    key, folder = training_key(pairs, config, seed, start, also), TRANSLATORS.folder(name)

    def make() -> Translator:
        keep = state_of(folder, key)
        return train_translator(pairs, config, seed, start=start, also=also, keep=keep, device=device)

    return TRANSLATORS.kept(name, key, make, f"training on {len(pairs):,} sentence pairs")


@torch.no_grad()
def translate(
    translators: Sequence[Translator],
    sentences: Sequence[str],
    beam: int = 5,
    n: int = 1,
    batch: int = 64,
    device: str = "cpu",
) -> list[list[Translation]]:
    """Returns the ``n`` best translations of each sentence, best first by ln P per sub-word.

    Args:
        translators: one, or several with the same sub-words, whose probabilities are averaged.
        sentences: in English.
        beam: beginnings that are kept at each step; at least ``n``.
        n: translations wanted; there may be fewer different ones.
        batch: sentences side by side.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: when the translators have different sub-words, or ``n`` is larger than ``beam``.
    """
    if n > beam or any(t.serialized != translators[0].serialized for t in translators):
        raise ValueError("translators need the same sub-words, and a beam of at least n")
    networks, longest = [t.network.to(device).eval() for t in translators], translators[0].config.longest
    sources = [torch.tensor([*translators[0].ids(sentence)[:-1][: longest - 1], END]) for sentence in sentences]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: list[list[Translation]] = [[] for _ in sources]
    for i in tqdm(range(0, len(order), batch), desc="translate", unit="batch", delay=5, disable=None):
        some = order[i : i + batch]
        ids, totals = _search(networks, pad_sequence([sources[j] for j in some], True, PAD).to(device), beam)
        for j, beginnings, log_probs in zip(some, ids.tolist(), totals.tolist(), strict=True):
            best: dict[str, float] = {}
            for said, log_prob in zip(beginnings, log_probs, strict=True):
                text = translators[0].pieces.decode([piece for piece in said if piece > END])
                best.setdefault(text, log_prob)
            found[j] = [Translation(text, p) for text, p in best.items() if p > -math.inf][:n]
    for network in networks:
        network.to("cpu")
    return found


def _search(networks: Sequence[TranslationNetwork], source: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """Searches the best beginnings step by step: [B, S] → sub-words [B, beam, T] and their ln P [B, beam]."""
    rows, device = len(source), source.device
    memories = [network.encode(source).repeat_interleave(beam, 0) for network in networks]
    source = source.repeat_interleave(beam, 0)
    states: list[Tensor | None] = [None for _ in networks]
    said = torch.full((rows * beam, 1), START, device=device)
    totals = torch.tensor([0.0, *[-torch.inf] * (beam - 1)], device=device).repeat(rows, 1)  # [B, beam]
    lengths, done = torch.zeros(rows, beam, device=device), torch.zeros(rows, beam, dtype=torch.bool, device=device)
    for _ in range(2 * source.shape[1] + 10):
        found = [net.logits(said[:, -1:], m, source, s) for net, m, s in zip(networks, memories, states, strict=True)]
        probs = [scores[:, 0].softmax(1) for scores, _ in found]
        log_probs = torch.stack(probs).mean(0).log().view(rows, beam, -1)
        log_probs[..., [PAD, UNKNOWN, START]] = -torch.inf
        log_probs[done] = -torch.inf
        log_probs[..., PAD] = torch.where(done, 0.0, log_probs[..., PAD])  # what is complete waits
        total = totals.unsqueeze(2) + log_probs
        length = (lengths + ~done).unsqueeze(2)
        best = (total / length).flatten(1).topk(beam, 1).indices  # [B, beam]
        parent, piece = best // total.shape[2], best % total.shape[2]
        totals = total.flatten(1).gather(1, best)
        lengths, done = length.squeeze(2).gather(1, parent), done.gather(1, parent) | (piece == END)
        flat = (torch.arange(rows, device=device).unsqueeze(1) * beam + parent).flatten()
        said, states = torch.cat([said[flat], piece.view(-1, 1)], 1), [state[flat] for _, state in found]
        if done.all():
            break
    return said.view(rows, beam, -1), totals
