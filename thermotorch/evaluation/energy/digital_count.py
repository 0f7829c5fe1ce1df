"""What one sample asks of digital hardware: operations by layer, and numbers read and written."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

NOTHING_COUNTED = "no matrix product, convolution or attention was seen, and no other operation is counted"


@dataclass(frozen=True)
class DigitalCount:
    """Operations and traffic of one call that makes one sample.

    Args:
        flops: matrix products, convolutions and attention; a multiply-add is two. Element-wise operations and random
            numbers count as zero (torch's `FlopCounterMode`).
        flops_by_layer: the operations of each module itself, without those of the modules inside it; they add up to
            `flops`. Operations outside any module are under "".
        weight_numbers: numbers of weights that operations read, each operation every time.
        activation_numbers: all other numbers that operations read or write, each operation every one once.
        least_numbers: each weight that is used at all once, and the sample once: what no program can avoid.
        sample_numbers: of one sample: its pixels.
        num_samples: made by the call.
    """

    flops: int
    flops_by_layer: dict[str, int]
    weight_numbers: int
    activation_numbers: int
    least_numbers: int
    sample_numbers: int
    num_samples: int = 1

    @property
    def numbers(self) -> int:
        """All that operations read or write: the traffic when nothing stays in a cache between operations."""
        return self.weight_numbers + self.activation_numbers

    def by_block(self, depth: int) -> dict[str, int]:
        """`flops_by_layer`, added up over all modules that share the first `depth` parts of their name."""
        blocks: dict[str, int] = {}
        for name, flops in self.flops_by_layer.items():
            block = ".".join(name.split(".")[:depth])
            blocks[block] = blocks.get(block, 0) + flops
        return blocks


def count_flops(function: Callable[[], object]) -> int:
    """Floating-point operations of one call: matrix products, convolutions and attention; a multiply-add is two.

    Element-wise operations count as zero (torch's `FlopCounterMode`).
    """
    with _flop_counter() as counter:
        function()
    return counter.get_total_flops()


def _flop_counter() -> FlopCounterMode:
    """torch's counter, which knows the attention kernels of every device but the processor's."""

    def attention(query: torch.Size, key: torch.Size, value: torch.Size, *rest: object, **more: object) -> int:
        return sdpa_flop_count(query, key, value)

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={kernel: attention})


def count(model: nn.Module, generate: Callable[[], Tensor]) -> DigitalCount:
    """Run `generate()` once, which makes samples [n, ...] with `model`, and count. Numbers are totals of the call.

    Batch one is what an answer to a single request costs; in larger batches weights are read once for all samples.

    Cost: the call, several times slower than without counting.
    """
    with _flop_counter() as flops, _Traffic(model) as traffic:
        samples = generate()
    least = sum(weight.numel() for key, weight in traffic.weights.items() if key in traffic.used)
    return DigitalCount(
        flops=flops.get_total_flops(),
        flops_by_layer=_own({name: sum(kinds.values()) for name, kinds in flops.get_flop_counts().items()}),
        weight_numbers=traffic.weight_numbers,
        activation_numbers=traffic.activation_numbers,
        least_numbers=least + samples.numel(),
        sample_numbers=samples[0].numel(),
        num_samples=len(samples),
    )


def _own(nested: dict[str, int]) -> dict[str, int]:
    """Totals of nested modules -> what each module does itself. The root's name is left out of theirs."""
    own = dict(nested)
    for name, flops in nested.items():
        if (around := _enclosing(name, nested)) is not None:
            own[around] -= flops
    merged = {"": own.pop("Global", 0)}
    for name, flops in own.items():
        short = name.partition(".")[2]
        merged[short] = merged.get(short, 0) + flops
    return {name: flops for name, flops in merged.items() if flops}


def _enclosing(name: str, nested: dict[str, int]) -> str | None:
    """The innermost counted module around one; lists of modules are never called and hence not counted."""
    if name == "Global":
        return None
    while "." in name:
        name = name.rpartition(".")[0]
        if name in nested:
            return name
    return "Global"


class _Traffic(TorchDispatchMode):
    """Count the numbers that operations read and write; views move nothing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.weights = {_key(weight): weight for weight in (*model.parameters(), *model.buffers())}
        self.used: set[int] = set()
        self.weight_numbers = self.activation_numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not _is_view(func):
            for tensor in _tensors((args, kwargs)):
                if (key := _key(tensor)) in self.weights:
                    self.used.add(key)
                    self.weight_numbers += tensor.numel()
                else:
                    self.activation_numbers += tensor.numel()
            self.activation_numbers += sum(tensor.numel() for tensor in _tensors(result))
        return result


def _is_view(func: torch._ops.OpOverload) -> bool:
    """Whether an operation returns its input's memory without writing to it, or touches no memory at all."""
    if func in (
        torch.ops.aten.empty.memory_format,
        torch.ops.aten.empty_strided.default,
        torch.ops.aten.detach.default,
    ):
        return True
    outputs = func._schema.returns
    return bool(outputs) and all(out.alias_info is not None and not out.alias_info.is_write for out in outputs)


def _key(tensor: Tensor) -> int:
    """Of the memory, so that views of a weight are that weight."""
    return tensor.untyped_storage().data_ptr()


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
