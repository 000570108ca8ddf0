"""A residual convolutional network of the size of ResNet-50, made on the spot with random weights, for ``gpu.py``.

The layers are those of "Deep Residual Learning for Image Recognition" (He et al., 2015), table 1, column 50-layer, with
the stride in the 3x3 convolution: 25,557,032 weights. ``CONVNET_SMALL`` makes a narrow and shallow one for machines
without a GPU, ``CONVNET_SIDE`` is the height and width of a picture, ``CONVNET_BATCH`` the largest batch.
torch is imported when a network is made and not before.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from modelserve.v2 import fields

__all__ = ["ConvNet", "Images", "Served", "side"]

Images = npt.NDArray[np.uint8]

# Width of the first stage, and blocks of each stage.
_FULL = (64, (3, 4, 6, 3))
_SMALL = (8, (1, 1, 1, 1))
_CLASSES = 1000
_EXPANSION = 4
# Near the usual figures for photographs; what matters is that the same is done on both sides.
_MEAN, _DEVIATION = 127.5, 64.0


def side() -> int:
    """Return the height and width of a picture in pixels."""
    return int(os.environ.get("CONVNET_SIDE", "224"))


class ConvNet:
    """The network on the first GPU that this process sees, in bfloat16 there; else on CPUs, in float32."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        on_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self._kind = torch.bfloat16 if on_gpu else torch.float32
        torch.manual_seed(0)
        network = build(torch, *(_SMALL if os.environ.get("CONVNET_SMALL") else _FULL)).eval()
        self._network = network.to(self.device, self._kind, memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        """The device, in its maker's words where it is a GPU."""
        if self.device.type == "cuda":
            return str(self._torch.cuda.get_device_name())
        return f"CPU, {self._torch.get_num_threads()} thread(s)"

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        return sum(weight.numel() for weight in self._network.parameters())

    def run(self, images: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the best score and its class, ``(n,)`` each, for pictures ``(n, 3, side, side)`` uint8."""
        with self._torch.inference_mode():
            scores, classes = self._classify(self.to_device(images))
            return scores.cpu().numpy(), classes.cpu().numpy()

    def to_device(self, images: Images) -> Any:
        """Return the pictures as a tensor on the device, still uint8."""
        return self._torch.from_numpy(images).to(self.device)

    def alone(self, pictures: Any) -> None:
        """Classify pictures that are on the device already, and wait for it."""
        with self._torch.inference_mode():
            self._classify(pictures)
        if self.device.type == "cuda":
            self._torch.cuda.synchronize()

    def _classify(self, pictures: Any) -> Any:
        near = (pictures.to(self._kind) - _MEAN) / _DEVIATION
        return self._network(near.contiguous(memory_format=self._torch.channels_last)).float().max(dim=1)


class Served:
    """The network as a model: one picture a call, all that wait in one pass."""

    max_batch_size = int(os.environ.get("CONVNET_BATCH", "32"))

    schema = {"label": fields.Int(required=True), "score": fields.Float(required=True)}

    def get_metadata(self) -> dict[str, str]:
        """Name the model."""
        return {"name": "convnet", "description": f"A residual network for pictures of {side()} by {side()}."}

    def warm(self) -> None:
        """Make the network, and run the smallest and the largest batch once."""
        self._network = ConvNet()
        for size in (1, self.max_batch_size):
            self._network.run(np.zeros((size, 3, side(), side()), np.uint8))

    def get_predict_args(self) -> dict[str, Any]:
        """Declare the picture."""
        return {"image": fields.NDArray(dtype="uint8", shape=(3, side(), side()), required=True)}

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return class and score of each picture: stacked once, split once."""
        scores, classes = self._network.run(np.stack([call["image"] for call in calls]))
        return [
            {"label": label, "score": score} for label, score in zip(classes.tolist(), scores.tolist(), strict=True)
        ]


def build(torch: Any, width: int, stages: tuple[int, ...]) -> Any:
    """Return the network with random weights."""
    nn = torch.nn
    layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    block, wide = _block_class(torch), width
    for number, blocks in enumerate(stages):
        inner = width << number
        for index in range(blocks):
            layers.append(block(wide, inner, 2 if number and not index else 1))
            wide = inner * _EXPANSION
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, _CLASSES)]
    network = nn.Sequential(*layers)
    for part in network.modules():
        # The default is smaller: after fifty layers every picture would look the same.
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return network


def _block_class(torch: Any) -> Any:
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        """1x1, 3x3 and 1x1 convolutions, and what came in added."""

        def __init__(self, wide: int, inner: int, stride: int) -> None:
            super().__init__()
            out = inner * _EXPANSION
            self.inside = nn.Sequential(
                *(nn.Conv2d(wide, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
                *(nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
                *(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)),
            )
            fits = stride == 1 and wide == out
            beside = (nn.Conv2d(wide, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            self.beside = nn.Identity() if fits else nn.Sequential(*beside)

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.inside(x) + self.beside(x))

    return Block
