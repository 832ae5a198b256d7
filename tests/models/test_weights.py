"""Weights from a file into a model: all of them, under whichever names, or an error that says what differs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArtefactError, UnknownName
from striate.models.dialects import dialects, read_as, real_values, rename
from striate.models.registry import create_model
from striate.models.shapes import without_numbers
from striate.models.weightreport import MISFIT
from striate.models.weights import load_weights, report_of

SMALL = "cifar_resnet20"


def randomised(model: nn.Module, seed: int = 3) -> nn.Module:
    """Norms with weights and statistics of their own, so that nothing can be left out unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point():
                tensor.add_(torch.empty_like(tensor).uniform_(-0.2, 0.2, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return randomised(create_model(SMALL))


@pytest.fixture
def saved(model: nn.Module, tmp_path: Path) -> Path:
    torch.save({"state_dict": {f"module.{k}": t for k, t in model.state_dict().items()}}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def images(channels: int = 3) -> Tensor:
    return torch.randn(2, channels, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_pth_file_gives_the_same_logits_and_a_report(model: nn.Module, saved: Path) -> None:
    loaded = create_model(SMALL, weights=saved).eval()
    assert torch.equal(loaded(images()), model(images()))
    report = report_of(loaded)
    assert report is not None
    assert report.fits
    assert len(report.matched) == sum("num_batches" not in name for name in model.state_dict())
    assert report.missing == report.unexpected == report.reshaped == report.fresh == ()
    assert "97 tensors loaded" in str(report)
    assert "state_dict module." in str(report)
    assert json.loads(json.dumps(report.to_json()))["dialect"] == "own"


def test_a_model_without_weights_has_no_report() -> None:
    assert report_of(create_model("lenet5")) is None


def test_with_other_classes_all_but_the_head_is_loaded(model: nn.Module, saved: Path) -> None:
    loaded = create_model(SMALL, num_classes=3, weights=saved)
    report = report_of(loaded)
    assert report is not None
    assert report.fresh == ("linear.weight", "linear.bias")
    assert "another number of classes" in str(report)
    for key, tensor in loaded.state_dict().items():
        if not key.startswith("linear."):
            assert torch.equal(tensor, model.state_dict()[key]), key


def test_without_saying_so_another_head_is_refused_with_the_word_to_say(tmp_path: Path) -> None:
    torch.save(create_model(SMALL, num_classes=7).state_dict(), tmp_path / "seven.pth")
    with pytest.raises(ArtefactError, match=r"linear.weight is \(7, 64\) in the file.*say num_classes=10"):
        create_model(SMALL, weights=tmp_path / "seven.pth")


def test_one_channel_answers_a_gray_image_as_three_equal_ones(model: nn.Module, saved: Path) -> None:
    loaded = create_model(SMALL, in_chans=1, weights=saved).eval()
    gray = images(1)
    torch.testing.assert_close(loaded(gray), model(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    report = report_of(loaded)
    assert report is not None
    assert [(r.name, r.stored, r.wanted) for r in report.reshaped] == [("conv1.weight", (16, 3, 3, 3), (16, 1, 3, 3))]
    assert "summed over channels" in str(report)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_more_channels_repeat_the_colours_at_the_same_loudness(model: nn.Module, saved: Path, channels: int) -> None:
    loaded = create_model(SMALL, in_chans=channels, weights=saved).eval()
    stem, old = loaded.conv1.weight, model.conv1.weight  # type: ignore[union-attr]
    assert torch.allclose(stem[:, 1], old[:, 1] * 3 / channels)  # type: ignore[index]
    report = report_of(loaded)
    assert report is not None
    assert "channels repeated" in str(report)
    if channels == 6:  # each colour twice
        twice = torch.cat([images(), images()], 1)
        torch.testing.assert_close(loaded(twice), model(images()), rtol=1e-4, atol=1e-4)


def test_without_saying_so_another_stem_is_refused(tmp_path: Path) -> None:
    torch.save(create_model(SMALL, in_chans=1).state_dict(), tmp_path / "gray.pth")
    with pytest.raises(ArtefactError, match="say in_chans=3"):
        create_model(SMALL, weights=tmp_path / "gray.pth")


def test_weights_of_another_depth_are_refused_with_the_model_they_fit(tmp_path: Path) -> None:
    torch.save(create_model("cifar_resnet32").state_dict(), tmp_path / "x.pth")
    with pytest.raises(ArtefactError, match=r"the model has no .* and \d+ more.*they fit 'cifar_resnet32'"):
        create_model(SMALL, weights=tmp_path / "x.pth")


def test_the_popular_form_of_googlenet_says_its_id(tmp_path: Path) -> None:
    with without_numbers():
        state = create_model("googlenet_bn").state_dict()
    save_file({key: torch.zeros(tensor.shape) for key, tensor in state.items()}, tmp_path / "google.safetensors")
    with pytest.raises(ArtefactError, match="they fit 'googlenet_bn'"):
        create_model("googlenet", weights=tmp_path / "google.safetensors")


def test_a_refused_file_leaves_the_model_as_it_was(saved: Path, model: nn.Module) -> None:
    other = create_model("cifar_resnet32")
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(ArtefactError):
        load_weights(other, saved, name="cifar_resnet32")
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_what_does_not_fit_can_be_reported_instead(saved: Path) -> None:
    report = load_weights(create_model(SMALL, num_classes=4), saved, name=SMALL, strict=False)
    assert not report.fits
    assert {one.how for one in report.reshaped} == {MISFIT}
    assert "linear.bias" not in report.matched


def test_values_that_are_not_finite_are_refused(model: nn.Module, tmp_path: Path) -> None:
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state["layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(ArtefactError, match=r"layer2\.0\.conv1\.weight holds values that are not finite"):
        create_model(SMALL, weights=tmp_path / "nan.pth")


def test_auxiliary_heads_are_left_out_where_the_model_has_none(tmp_path: Path) -> None:
    state = create_model("googlenet_aux").state_dict()
    torch.save(state, tmp_path / "aux.pth")
    report = report_of(create_model("googlenet", weights=tmp_path / "aux.pth"))
    assert report is not None
    assert "auxiliary heads" in str(report)
    assert report.fits


@pytest.mark.parametrize("source", ["imagnet", "imagenet:torchvison.v1", "image_net"])
def test_a_mistyped_source_is_answered_with_the_nearest(source: str) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        create_model("resnet18", weights=source)


class TestDialects:
    """Other names and layouts: what is given to a layer is what the publisher's layer computes."""

    def keras(self, name: str) -> dict[str, Tensor]:
        """MobileNet's tensors as Keras has them, from ours, by hand."""
        torch.manual_seed(0)
        ours, theirs = randomised(create_model(name)).state_dict(), {}
        numbers = {}
        for key, tensor in ours.items():
            path, _, part = key.rpartition(".")
            block = path.rpartition(".")[0]
            if block and block not in numbers:
                numbers[block] = len(numbers) + 1
            layer = {"conv_stem": "conv1", "bn1": "conv1_bn", "classifier": "conv_preds"}.get(path) or (
                f"conv_{'dw' if path.endswith(('dw', 'bn1')) else 'pw'}_{numbers[block]}"
                + ("_bn" if "bn" in path else "")
            )
            if part == "weight" and "bn" not in path:
                array = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
                depthwise = "dw" in path
                theirs[f"{layer}/kernel"] = array.permute((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)).contiguous()
            elif part != "num_batches_tracked":
                names = {"weight": "gamma", "bias": "beta" if "bn" in path else "bias", "running_mean": "moving_mean",
                         "running_var": "moving_variance"}  # fmt: skip
                theirs[f"{layer}/{names[part]}"] = tensor
        return theirs

    def test_keras_arrays_come_back_as_ours_in_the_form_they_were_trained_in(self, tmp_path: Path) -> None:
        name = "mobilenet_v1_0.25_128"
        save_file(self.keras(name), tmp_path / "keras.safetensors")
        loaded = create_model(name, weights=tmp_path / "keras.safetensors").eval()
        torch.manual_seed(0)
        plain, expected = randomised(create_model(name)), create_model(name, tensorflow=True).eval()
        expected.load_state_dict(plain.state_dict())
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        assert torch.equal(loaded(x), expected(x))
        assert not torch.allclose(loaded(x), plain(x), rtol=1e-2)
        report = report_of(loaded)
        assert report is not None
        assert report.dialect == "keras.mobilenet_v1"

    def test_a_bias_before_a_norm_is_in_its_mean(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x, kernel = torch.randn(2, 3, 9, 9, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
        bias, mean = torch.randn(4, generator=generator), torch.randn(4, generator=generator)
        var, gamma, beta = (torch.rand(4, generator=generator) + 0.5 for _ in range(3))
        expected = F.batch_norm(F.conv2d(x, kernel, bias), mean, var, gamma, beta, eps=1e-3)
        torch.testing.assert_close(
            F.batch_norm(F.conv2d(x, kernel), mean - bias, var, gamma, beta, eps=1e-3), expected, rtol=1e-4, atol=1e-5
        )

    def test_a_bias_of_keras_resnet_goes_to_its_norm(self) -> None:
        dialect = next(d for d in dialects() if d.name == "keras.resnet")
        with without_numbers():
            model = create_model("resnet50.paper")
        stored = {
            "conv1_conv/kernel": torch.zeros(7, 7, 3, 64), "conv1_conv/bias": torch.full((64,), 2.0),
            "conv1_bn/gamma": torch.ones(64), "conv1_bn/beta": torch.zeros(64),
            "conv1_bn/moving_mean": torch.full((64,), 5.0), "conv1_bn/moving_variance": torch.ones(64),
        }  # fmt: skip
        reading = read_as(dialect, model, stored, {})
        assert set(reading.tensors) == {
            "conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
        }  # fmt: skip
        assert torch.equal(reading.tensors["bn1.running_mean"], torch.full((64,), 3.0))
        assert reading.left == ()

    def test_a_dense_layer_behind_a_map_reads_it_channel_by_channel(self) -> None:
        dialect = next(d for d in dialects() if d.name == "keras.vgg16")
        with without_numbers():
            model = create_model("vgg16")
        kernel = torch.randn(7 * 7 * 512, 2, generator=torch.Generator().manual_seed(0))
        weight = read_as(dialect, model, {"fc1/kernel": kernel}, {}).tensors["classifier.0.weight"]
        map_ = torch.randn(1, 512, 7, 7, generator=torch.Generator().manual_seed(1))
        expected = map_.permute(0, 2, 3, 1).flatten(1) @ kernel  # as TensorFlow flattens it
        torch.testing.assert_close(map_.flatten(1) @ weight.T, expected, rtol=1e-4, atol=1e-3)

    def test_keras_heads_have_had_several_names(self) -> None:
        dialect = next(d for d in dialects() if d.name == "keras.mobilenet_v2")
        with without_numbers():
            model = create_model("mobilenet_v2")
        seen: dict[int, dict[str, int]] = {}
        stored = {}
        for path, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d):
                h, w, c, o = (*layer.kernel_size, *layer.weight.shape[1::-1])
                stored[f"{rename(path, dialect.names, seen)}/kernel"] = torch.empty(h, w, c, o, device="meta")
            elif isinstance(layer, nn.BatchNorm2d):
                stored[f"{rename(path, dialect.names, seen)}/beta"] = torch.empty(layer.num_features, device="meta")
        stored |= {"Logits/kernel": torch.zeros(1280, 1000), "Logits/bias": torch.zeros(1000)}
        reading = read_as(dialect, model, stored, {})
        assert reading.tensors["classifier.1.weight"].shape == (1000, 1280)
        assert reading.left == ()

    def test_quantised_integers_are_what_they_stand_for(self) -> None:
        stored = {"a": torch.tensor([0, 128, 255], dtype=torch.uint8), "b": torch.tensor([[4], [6]], dtype=torch.int32)}
        tensors = [
            {"name": "a", "scale": [0.5], "zero_point": [128]},
            {"name": "b", "scale": [1.0, 10.0], "zero_point": [0, 1], "axis": 0},
        ]
        values = real_values(stored, {"tensors": tensors})
        assert values["a"].tolist() == [-64.0, 0.0, 63.5]
        assert values["b"].tolist() == [[4.0], [50.0]]
        assert values["a"].dtype == torch.float32

    def test_torchvisions_old_densenet_files_load(self) -> None:
        with without_numbers():
            model = create_model("densenet121")
        dialect = next(d for d in dialects() if d.name == "torchvision.densenet")
        key = "features.denseblock1.denselayer1.norm.1.weight"
        assert read_as(dialect, model, {key: torch.zeros(64)}, {}).tensors.keys() == {
            "features.denseblock1.denselayer1.norm1.weight"
        }

    @pytest.mark.parametrize("shape", [(), (3,), (3, 3), (3, 3, 3), (1, 1, 3, 3, 8)])
    def test_kernels_that_are_none_are_refused(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        stored = self.keras("mobilenet_v1_0.25_128") | {"conv1/kernel": torch.zeros(shape)}
        save_file({key: tensor.contiguous() for key, tensor in stored.items()}, tmp_path / "x.safetensors")
        with pytest.raises(ArtefactError, match=r"x\.safetensors"):
            create_model("mobilenet_v1_0.25_128", weights=tmp_path / "x.safetensors")

    @pytest.mark.parametrize(
        "beside", [{"graph": 7}, {"graph": [7]}, {"graph": [{"op": "CONV_2D"}] * 28}, {"tensors": 3}]
    )
    def test_a_sidecar_that_makes_no_sense_is_refused_or_not_needed(
        self, beside: dict[str, object], tmp_path: Path
    ) -> None:
        save_file({"MobilenetV1/a": torch.zeros(1), "b": torch.zeros(2)}, tmp_path / "x.safetensors")
        (tmp_path / "x.json").write_text(json.dumps(beside))
        with pytest.raises(ArtefactError, match=r"x\.safetensors"):
            create_model("mobilenet_v1_0.25_128", weights=tmp_path / "x.safetensors")

    def test_a_sidecar_that_is_damaged_is_named(self, saved: Path) -> None:
        saved.with_suffix(".json").write_text("{")
        with pytest.raises(ArtefactError, match=r"weights\.json"):
            create_model(SMALL, weights=saved)


REAL = {
    "imagenet_mobilenet_v2_1.0_224_float32": "mobilenet_v2",
    "imagenet_mobilenet_v1_0.25_128_uint8": "mobilenet_v1_0.25_128",
    "imagenet_mobilenet_v1_0.75_224_keras_float32": "mobilenet_v1_0.75_224",
    "imagenet_squeezenet1_0_deepcompressed": "squeezenet1_0", "cifar10_resnet20_akamaster": "cifar_resnet20",
}  # fmt: skip


@pytest.mark.parametrize("file", REAL)
def test_real_weights_load_by_their_path(shared: Path, file: str) -> None:
    path = shared / "weights" / f"{file}.safetensors"
    loaded = create_model(REAL[file], weights=path)
    report = report_of(loaded)
    assert report is not None
    assert report.fits
    assert report.tag
    assert all(np.isfinite(float(t.float().abs().sum())) for t in loaded.state_dict().values())


def test_real_weights_of_a_network_that_is_not_in_the_zoo_are_refused(shared: Path) -> None:
    with pytest.raises(ArtefactError, match=r"the file lacks .*the model has no conv1\.0"):
        create_model("lenet5", weights=shared / "weights" / "mnist_lenet_caffe.safetensors")
