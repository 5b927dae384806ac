"""Reading weights from files, as data only, and fitting them to a network without leaving anything out."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.errors import BadWeights


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .bin file; BadWeights if it is broken or wants to run code."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadWeights(f"there is no weights file {str(path)!r}")
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise BadWeights(f"{file.name} is no readable safetensors file: {error}", "was it copied whole?") from error
    if file.suffix not in (".pth", ".pt", ".bin", ".ckpt"):
        raise BadWeights(f"cannot read weights from {file.suffix!r} files", "give a .safetensors or .pth file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadWeights(
            f"{file.name} holds more than weights: loading it would run code from the file, which Convscope never does",
            "save only the weights: torch.save(model.state_dict(), path), or better safetensors.torch.save_file",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadWeights(f"{file.name} is no readable weights file: {reason}", "was it copied whole?") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadWeights(f"{file.name} holds no table of tensors", "save it with torch.save(model.state_dict(), path)")
    state = {str(name): value for name, value in content.items()}
    if state and all(name.startswith("module.") for name in state):  # saved from a DataParallel wrapper
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Loads a state into a module; BadWeights lists every missing, left-over and misshapen key."""
    check_fit({name: tuple(value.shape) for name, value in module.state_dict().items()}, state, origin)
    module.load_state_dict(dict(state), strict=True)


def check_fit(expected: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor], origin: str) -> None:
    """BadWeights unless the names and shapes are just those expected."""
    problems = []
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    for words, names in (("missing", missing), ("left over", extra), ("of another shape", shapes)):
        if names:
            shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
            problems.append(f"{len(names)} {words}: {shown}")
    if problems:
        raise BadWeights(
            f"{origin} does not fit the network; " + "; ".join(problems),
            "are they from this very architecture?",
        )


def check_finite(state: Mapping[str, Tensor], owner: str) -> None:
    """BadWeights naming the weights that hold NaN or infinity."""
    floating = {name: value for name, value in state.items() if value.is_floating_point()}
    broken = [name for name, value in floating.items() if bool((value.isnan() | value.isposinf()).any())]  # -inf masks
    if broken:
        shown = ", ".join(broken[:6]) + (f" and {len(broken) - 6} more" if len(broken) > 6 else "")
        raise BadWeights(
            f"{len(broken)} weights of {owner} hold NaN or infinity: {shown}",
            "the training diverged or the file is broken; take an earlier checkpoint",
        )
