"""The fastest precision, of a frozen backbone or of what is trained, found by timing.

Remembering it per machine is what makes a repeated run repeat to the last digit.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, sha256, write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.core.provenance import machine
from pneumoscope.models.zoo import Backbone
from pneumoscope.training.convolutions import fast_convolutions

Network = TypeVar("Network", bound=nn.Module)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# bfloat16 rounds, so it must be worth it: a close race also must not flip between machines.
_WORTH = 1.3
_WORTH_LEARNING = 1.15  # weights, and sums of gradients, stay float32
_STEPS = 3


def choose_training_precision(
    network: nn.Module,
    inputs: Tensor,
    *,
    name: str,
    requested: str,
    reporter: Reporter,
) -> str:
    """`float32` or `bfloat16` for forward and backward passes of `network` on `inputs`.

    Args:
        network: In the mode it learns in; gradients are computed and dropped.
        inputs: A batch.
        name: What tells this network and inputs from others on this machine.
        requested: `auto` times a few steps.
        reporter: Told what was chosen.
    """
    if requested != "auto":
        return requested

    def step(precision: str) -> Callable[[], object]:
        def learn() -> None:
            with computing_in(precision, inputs.device):
                logits = network(inputs)
            logits.to(torch.float32).sum().backward()
            network.zero_grad(set_to_none=True)

        return learn

    buffers = {key: value.clone() for key, value in network.named_buffers()}
    try:
        with fast_convolutions(network):
            return faster_precision(
                step, inputs, f"{name}, fast convolutions", "what is trained", reporter,
                worth=_WORTH_LEARNING,
            )  # fmt: skip
    finally:  # batch statistics have moved
        for key, value in network.named_buffers():
            value.copy_(buffers[key])


def faster_precision(
    step: Callable[[str], Callable[[], object]],
    inputs: Tensor,
    name: str,
    what: str,
    reporter: Reporter,
    *,
    worth: float = _WORTH,
) -> str:
    """`float32` or `bfloat16`: what was faster here before, or is now.

    Args:
        step: For a precision, what to time.
        inputs: What a step computes on.
        name: What tells these steps from others on this machine.
        what: Of what the precision is, in words.
        reporter: Told what was chosen.
        worth: How many times as fast bfloat16 has to be.
    """
    memory, images = _memory(name, inputs.device, *inputs.shape), len(inputs)
    if (known := _recall(memory)) is not None:
        return known
    speed = {"float32": _images_per_second(step("float32"), images)}
    hopeless = 2 * images / speed["float32"]
    speed["bfloat16"] = _images_per_second(step("bfloat16"), images, give_up_after=hopeless)
    chosen = "bfloat16" if speed["bfloat16"] > worth * speed["float32"] else "float32"
    rates = ", ".join(f"{name} {rate:.0f} images/s" for name, rate in speed.items())
    reporter.say(f"Precision of {what}: {chosen} ({rates}).")
    try:
        write_text(memory, json.dumps({"precision": chosen, "images_per_second": speed}))
    except StorageError as error:
        reporter.warn(f"the precision will be timed again next time: {error}")
    return chosen


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Inside the block, operations that bear it run in `precision`; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def in_precision(network: Network, precision: str) -> Network:
    """A copy of the network, in evaluation mode, whose weights are in `precision`."""
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    for module in other.modules():
        if isinstance(module, Backbone):
            continue  # mean and standard deviation of the input stay exact
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        for tensor in own:
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(DTYPES[precision])
    return other.eval()


def round_weights(network: nn.Module) -> None:
    """Round the weights of convolutions and dense layers to bfloat16's 8 significant bits.

    They stay float32, with zeros below, which a zip stores in half the place. Biases and batch
    statistics are few and stay as they are.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.to(torch.bfloat16))


def network_fingerprint(network: nn.Module) -> str:
    """A hash of all weights and statistics of a network."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _images_per_second(
    step: Callable[[], object], images: int, *, give_up_after: float = math.inf
) -> float:
    """Best of a few steps, after one to warm up; a warm-up that takes too long is the answer.

    Processors without bfloat16 emulate it, many times slower.
    """
    first = _seconds(step)
    if first > give_up_after:
        return images / first
    return images / min(_seconds(step) for _ in range(_STEPS))


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _memory(name: str, device: torch.device, *shape: int) -> Path:
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    facts = [name, place, *shape, torch.__version__, torch.get_num_threads(), machine()]
    return cache_folder() / "precision" / f"{sha256(json.dumps(facts).encode())[:16]}.json"


def _recall(memory: Path) -> str | None:
    try:
        known = json.loads(memory.read_text(encoding="utf8"))["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if known in DTYPES else None
