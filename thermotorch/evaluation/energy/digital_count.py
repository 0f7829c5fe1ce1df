"""Operations by layer, and numbers read and written, that digital hardware needs for one sample."""

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
    """Operations and traffic of a call that makes samples.

    Operations are those of matrix products, convolutions and attention; a multiply-add is two. Element-wise operations
    and random numbers count as zero (torch's `FlopCounterMode`).
    """

    flops: int
    flops_by_layer: dict[str, int]  # of each module without those inside it, "" outside any; they add up to `flops`
    weight_numbers: int  # weights read, counted at every operation that reads them
    activation_numbers: int  # all other numbers that operations read or write
    least_numbers: int  # each used weight once, and the sample once, which no program can avoid
    sample_numbers: int  # pixels of one sample
    num_samples: int = 1
    evaluations: int = 0  # images that the model's `forward` took; a step of classifier-free guidance counts twice

    @property
    def numbers(self) -> int:
        """All numbers that operations read or write, the traffic when no cache outlives an operation."""
        return self.weight_numbers + self.activation_numbers


def count_flops(function: Callable[[], object]) -> int:
    """Return the operations of one call: matrix products, convolutions and attention; a multiply-add is two."""
    with _flop_counter() as counter:
        function()
    return counter.get_total_flops()


def _flop_counter() -> FlopCounterMode:
    """Return torch's counter, extended by the processor's attention kernel."""

    def attention(query: torch.Size, key: torch.Size, value: torch.Size, *rest: object, **more: object) -> int:
        return sdpa_flop_count(query, key, value)

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={kernel: attention})


@torch.no_grad()
def count(model: nn.Module, generate: Callable[[], Tensor]) -> DigitalCount:
    """Count the operations and traffic of one call of `generate`, which makes samples [n, ...] with `model`.

    A batch of one is the cost of a single request; in larger batches weights are read once for all samples.

    Cost: several times that of the call itself.
    """
    evaluations = []
    seen = model.register_forward_pre_hook(lambda module, inputs: evaluations.append(len(inputs[0])))
    with seen, _flop_counter() as flops, _Traffic(model) as traffic:
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
        evaluations=sum(evaluations),
    )


def _own(nested: dict[str, int]) -> dict[str, int]:
    """Subtract from the total of each module those of the modules inside it, and drop the root's name from theirs."""
    own = dict(nested)
    for name, flops in nested.items():
        if name != "Global":  # lists of modules around one are never called and hence not counted
            around = name.rpartition(".")[0]
            while around and around not in nested:
                around = around.rpartition(".")[0]
            own[around or "Global"] -= flops
    merged = {"": own.pop("Global", 0)}
    for name, flops in own.items():
        short = name.partition(".")[2]
        merged[short] = merged.get(short, 0) + flops
    return {name: flops for name, flops in merged.items() if flops}


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
    """Return True for an operation that returns its input's memory without writing to it, or touches no memory."""
    aten = torch.ops.aten
    if func in (aten.empty.memory_format, aten.empty_strided.default, aten.detach.default):
        return True
    outputs = func._schema.returns
    return bool(outputs) and all(out.alias_info is not None and not out.alias_info.is_write for out in outputs)


def _key(tensor: Tensor) -> int:
    """Return the address of the memory, which views of a weight share with it."""
    return tensor.untyped_storage().data_ptr()


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
