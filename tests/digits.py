"""Real digits, and small networks that are trained on them here, in seconds."""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from convscope.models.all_cnn import AllCNN

SIZE = (16, 16)


class Digits(NamedTuple):
    """Pixels in [0, 1], N×3×16×16, and the digits they show."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@cache
def digits() -> Digits:
    """scikit-learn's 1,797 handwritten digits at twice their size, grey as RGB; every fifth one is for testing."""
    data = load_digits()
    small = torch.from_numpy(data.images / 16).float()[:, None]
    images = F.interpolate(small, SIZE, mode="bilinear").expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(data.target).long()
    test = torch.arange(len(labels)) % 5 == 0
    return Digits(images[~test], labels[~test], images[test], labels[test])


def untrained_digits(seed: int = 0) -> nn.Sequential:
    """Two 5×5 convolutions with ReLU, max pools and a linear layer over 8×3×3 maps: seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 3 * 3, 10),
        ).eval()  # fmt: skip


@cache
def trained_digits(
    learning_rate: float = 0.05, epochs: int = 16, weight_decay: float = 0.01, seed: int = 0
) -> nn.Sequential:
    """The same trained by plain gradient descent with momentum; a learning rate far too high kills its units."""
    net, data = untrained_digits(seed).train(), digits()
    descent = torch.optim.SGD(net.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.labels), generator=order).split(64):
            descent.zero_grad()
            F.cross_entropy(net(data.images[batch]), data.labels[batch]).backward()
            descent.step()
    net.zero_grad()
    return net.eval()


@cache
def trained_all_cnn(epochs: int = 16, width: float = 1 / 6) -> AllCNN:
    """A narrow All-CNN-C, 16 and 32 units, trained by Adam with its learning rate up to 0.006 and down again."""
    data, order = digits(), torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = AllCNN(width=width).train()
        for part in net:
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        descent = torch.optim.Adam(net.parameters())
        rate = torch.optim.lr_scheduler.OneCycleLR(descent, 0.006, epochs=epochs, steps_per_epoch=23)
        for _ in range(epochs):
            for batch in torch.randperm(len(data.labels), generator=order).split(64):
                descent.zero_grad()
                F.cross_entropy(net(data.images[batch]), data.labels[batch]).backward()
                descent.step()
                rate.step()
    net.zero_grad()
    return net.eval()


def accuracy(net: nn.Module) -> float:
    """The share of the digits kept for testing that a network names rightly."""
    data = digits()
    with torch.no_grad():
        return float((net(data.test_images).argmax(1) == data.test_labels).float().mean())
