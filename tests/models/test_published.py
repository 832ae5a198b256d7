"""The catalogue: whole and sound, its downloads compared with what is known, its errors with the next step."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, DatasetError, Offline, UnknownName
from striate.models import published
from striate.models.dialects import dialects
from striate.models.published import Publication, catalogue, choose, class_names, weights_cache
from striate.models.registry import create_model, entry, list_models
from striate.models.weights import report_of


def test_every_entry_is_of_a_model_of_ours_and_says_where_it_is() -> None:
    models, names = set(list_models()), {dialect.name for dialect in dialects()}
    for one in catalogue():
        assert one.model in models
        assert one.urls or one.publisher not in ("torchvision", "timm", "Keras") or one.tag == "keras.safetensors"
        assert all(url.startswith("https://") for url in one.urls)
        assert one.dialect in names | {""}
        assert one.size_mb > 0.1
        assert one.licence or one.publisher == "timm"
        assert len(class_names(one.dataset)) == entry(one.model).classes


def test_the_catalogue_is_as_large_as_what_the_publishers_have() -> None:
    count = Counter(one.publisher for one in catalogue())
    assert (count["torchvision"], count["timm"], count["Keras"]) == (54, 156, 46 + 1)


def test_tags_are_unique_and_one_is_the_default() -> None:
    fitting = [one for one in catalogue() if not one.misfit]
    assert max(Counter((one.model, one.dataset, one.tag) for one in fitting).values()) == 1
    for model in {one.model for one in fitting if one.urls}:
        assert sum(one.default for one in fitting if one.model == model) == 1, model


def test_hashes_stand_in_the_names_of_the_files() -> None:
    for one in catalogue():
        assert set(one.sha256 + one.md5) <= set("0123456789abcdef")
        assert len(one.sha256) in (0, 8, 9, 10, 64)
        assert len(one.md5) in (0, 32)
        if 0 < len(one.sha256) < 64:
            assert one.sha256 in one.file
        if one.publisher == "torchvision":
            assert one.sha256


def test_what_keras_does_to_pixels_is_said_by_preprocess() -> None:
    x = torch.tensor([0.0, 100.0, 255.0])[:, None, None].expand(1, 3, 2, 2)
    of = {one.model: one.preprocess for one in catalogue() if one.publisher == "Keras" and one.tag == "keras"}
    torch.testing.assert_close(of["mobilenet_v2"].normalise(x), x / 127.5 - 1, rtol=1e-5, atol=1e-5)
    caffe = of["vgg16"].normalise(x)[0, :, 0, 0]
    torch.testing.assert_close(caffe, x[0, :, 0, 0] - torch.tensor([103.939, 116.779, 123.68]), rtol=1e-4, atol=1e-3)
    assert of["vgg16"].order == "bgr"


def test_torchvisions_inceptions_are_fed_what_they_are_fed_inside() -> None:
    # torchvision turns (p - m) / s into 2p - 1 in the network when it has its published weights (transform_input)
    for model in ("inception_v3", "googlenet_bn"):
        one = choose(model, "imagenet", "torchvision.v1")
        assert (one.preprocess.mean, one.preprocess.std) == ((0.5,) * 3, (0.5,) * 3)
    assert choose("resnet18", "imagenet").preprocess == Preprocess(size=(224, 224), short_side=256)


def test_class_names_are_a_thousand_different_ones_in_the_usual_order(shared: Path) -> None:
    names = class_names("imagenet")
    assert len(set(names)) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    lines = (shared / "data" / "imagenet_samples" / "labels.tsv").read_text().splitlines()
    columns = lines[0].split("\t")
    rows = [dict(zip(columns, line.split("\t"), strict=False)) for line in lines[1:]]
    alike = sum(
        names[int(row["index"])].lower().split(" (")[0] == row["name"].replace("_", " ").lower() for row in rows
    )
    assert alike > 900  # some have another synonym


@pytest.mark.parametrize(
    ("model", "tag", "says"),
    [
        ("googlenet", None, "torchvision's GoogLeNet fits 'googlenet_bn'"),
        ("alexnet_2gpu", None, "torchvision's AlexNet fits 'alexnet_torchvision'"),
        ("resnet18", "timm.a1in1k", "did you mean 'timm.a1_in1k'"),
        ("resnet50v2", "keras", "another graph"),
        ("se_resnet50", "seresnet50.a1_in1k", "legacy_seresnet50 is the paper's"),
        ("lenet5", None, "no imagenet weights are published for lenet5"),
    ],
)
def test_what_is_not_published_is_answered_with_what_is(model: str, tag: str | None, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        choose(model, "imagenet", tag)


def test_a_publishers_own_name_is_a_tag_too() -> None:
    assert choose("resnet50", "imagenet", "resnet50.a1_in1k").tag == "timm.a1_in1k"
    assert choose("resnet50", "imagenet", "ResNet50_Weights.IMAGENET1K_V1").tag == "torchvision.v1"
    assert choose("cifar_resnet20", "cifar10").top1 == 91.73


class Server(BaseHTTPRequestHandler):
    """Serves what the test put into `files`."""

    files: dict[str, bytes] = {}  # noqa: RUF012 (each test has its own)

    def do_GET(self) -> None:
        body = self.files.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


CONTENT = save({name: tensor for name, tensor in create_model("lenet5").state_dict().items()})


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publication]:
    """LeNet-5, published on this machine alone."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Server, "files", {"/weights/lenet.safetensors": CONTENT})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    one = replace(
        choose("resnet18", "imagenet"), model="lenet5", tag="test.v1", file=f"lenet-{digits}.safetensors",
        sha256=digits, urls=(f"http://127.0.0.1:{server.server_port}/weights/lenet.safetensors",),
    )  # fmt: skip
    monkeypatch.setattr(published, "catalogue", lambda: (one,))
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


def publish(monkeypatch: pytest.MonkeyPatch, one: Publication) -> None:
    monkeypatch.setattr(published, "catalogue", lambda: (one,))


def test_published_weights_are_downloaded_once(served: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not served.cached
    loaded = create_model("lenet5", weights="imagenet")
    assert served.cached
    assert torch.equal(loaded.C1.weight, create_model("lenet5", weights="imagenet:test.v1").C1.weight)  # type: ignore[union-attr, arg-type]
    report = report_of(loaded)
    assert report is not None
    assert (report.tag, Path(report.source).parent) == ("test.v1", weights_cache())
    monkeypatch.setattr(Server, "files", {})
    create_model("lenet5", weights="imagenet")  # and the network is not asked again


@pytest.mark.parametrize("known", [{"sha256": "00000000"}, {"sha256": "", "md5": "0" * 32}])
def test_other_bytes_than_the_publishers_are_not_kept(
    served: Publication, monkeypatch: pytest.MonkeyPatch, known: dict[str, str]
) -> None:
    publish(monkeypatch, replace(served, **known))  # type: ignore[arg-type]
    with pytest.raises(Offline, match="other bytes than the original's"):
        create_model("lenet5", weights="imagenet")
    assert not served.cached


@pytest.mark.parametrize("known", ["md5", "nothing"])
def test_weights_whose_sha256_is_not_published_are_downloaded_too(
    served: Publication, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest() if known == "md5" else ""
    publish(monkeypatch, replace(served, sha256="", md5=md5))
    assert report_of(create_model("lenet5", weights="imagenet")) is not None


def test_without_a_network_the_error_says_which_file_to_put_where(
    served: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, replace(served, urls=("http://127.0.0.1:9/lenet.safetensors",)))
    with pytest.raises(Offline, match=rf"put it at .*cache/weights/{served.file}"):
        create_model("lenet5", weights="imagenet")
    weights_cache().mkdir(parents=True, exist_ok=True)
    (weights_cache() / served.file).write_bytes(CONTENT)
    assert report_of(create_model("lenet5", weights="imagenet")) is not None


def test_another_file_in_the_place_of_a_published_one_is_left_alone(served: Publication) -> None:
    weights_cache().mkdir(parents=True)
    (weights_cache() / served.file).write_bytes(b"mine")
    with pytest.raises(DatasetError, match="another file than the original"):
        create_model("lenet5", weights="imagenet")
    assert (weights_cache() / served.file).read_bytes() == b"mine"


def test_a_download_that_is_no_weights_file_is_named(served: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "files", {"/weights/lenet.safetensors": b"not weights"})
    publish(monkeypatch, replace(served, sha256=""))
    with pytest.raises(ArtefactError, match=served.file):
        create_model("lenet5", weights="imagenet")


@pytest.mark.parametrize("known", ["sha256", "md5"])
def test_a_renamed_file_is_recognised_by_its_hash(
    served: Publication, monkeypatch: pytest.MonkeyPatch, known: str, tmp_path: Path
) -> None:
    if known == "md5":
        publish(monkeypatch, replace(served, sha256="", md5=hashlib.md5(CONTENT).hexdigest()))
    (tmp_path / "mine.safetensors").write_bytes(CONTENT)
    report = report_of(create_model("lenet5", weights=tmp_path / "mine.safetensors"))
    assert report is not None
    assert report.tag == "test.v1"
    (tmp_path / "other.safetensors").write_bytes(save(create_model("lenet5").state_dict()))
    report = report_of(create_model("lenet5", weights=tmp_path / "other.safetensors"))
    assert report is not None
    assert report.tag == ""
