"""Where weights are, and copies of them that nobody else holds."""

from collections.abc import Mapping

import torch
from torch import Tensor

from convscope.errors import BadOption

Device = str | torch.device | None


def checked_device(device: str | torch.device) -> torch.device:
    """The device of that name; BadOption if there is none such here."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BadOption(f"there is no device {str(device)!r} here: {reason}", '"cpu" is always there') from error
    return found


def first_device(state: Mapping[str, Tensor]) -> torch.device:
    """Where the weights are; the CPU for a network without any."""
    return next((value.device for value in state.values()), torch.device("cpu"))


def snapshot(state: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies that nobody else holds, detached, on the device; gradients can pass them, wherever they are made."""
    with torch.inference_mode(False), torch.no_grad():  # a copy of an inference tensor is a plain one here
        return {name: value.detach().to(device, copy=True) for name, value in state.items()}
