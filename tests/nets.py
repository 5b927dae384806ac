"""Tiny networks whose answers are known by hand."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quarter(nn.Module):
    """Scores only the upper left quarter: class 0 is its mean, class 1 its negative."""

    def forward(self, x: Tensor) -> Tensor:
        quarter = x[:, :, : x.shape[2] // 2, : x.shape[3] // 2].mean((1, 2, 3))
        return torch.stack([quarter, -quarter], 1)


class Spellings(nn.Module):
    """ReLU as a module, in place, as a function, as a method, and reused."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.three = nn.Conv2d(4, 4, 3, padding=1)
        self.four = nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.one(x))
        x = F.relu(self.two(x))
        x = self.act(self.three(x))
        x = self.four(x).relu_()
        return self.head(x.mean((2, 3)))


class Branches(nn.Module):
    """Branches of different reach side by side, and of different stride added together."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(3, 2, 1)
        self.far = nn.Conv2d(3, 2, 5, padding=2)
        self.coarse = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.fine = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.near(x), self.far(x)], 1)
        x = F.interpolate(self.coarse(x), scale_factor=2) + self.fine(x)
        return self.head(F.relu(x).mean((2, 3)))


class Does(nn.Module):
    """A module of one function of itself and the image."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Planted(nn.Module):
    """Filter 2 is dead, filter 0 sees red, filter 1 green."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.conv.bias.copy_(torch.tensor([0.0, 0.0, -1e6]))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x)).amax((2, 3))


def small_classifier(classes: int = 4) -> nn.Sequential:
    """Two convolutions with BatchNorm, seeded, statistics in a sane state."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, classes),
    )  # fmt: skip
    net.train()
    with torch.no_grad():
        for _ in range(5):
            net(torch.rand(8, 3, 32, 32))
    return net
