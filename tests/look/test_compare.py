"""Networks beside each other: whose figures they are, at which size, and a picture whose names do not collide."""

import json
import math

import pytest

from striate.errors import UnknownName, UsageError
from striate.look.costs.compare import PUBLISHERS, compare
from striate.look.costs.compare_page import page
from striate.look.costs.compare_picture import HIGH, LETTERS, WIDE, picture
from striate.look.draw import Circle, Words, width_of
from striate.models.registry import list_models
from striate.models.sheets import sheet

CROWD = (
    "alexnet", "vgg16", "vgg19", "googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet*",
    "inception_v3", "inception_v4", "xception", "squeezenet*", "mobilenet_v2", "nasnet_a_*", "senet154",
    "efficientnet_b?",
)  # fmt: skip


def test_each_figure_says_whose_it_is() -> None:
    found = compare("resnet50", "xception").networks
    assert [(one.reached.publisher, one.reached.tag[:14], one.reached.top1) for one in found if one.reached] == [
        ("torchvision", "IMAGENET1K_V1", 76.13),
        ("Keras", "xception_weigh", 79.0),
    ]


def test_operations_are_those_of_the_test_image() -> None:
    """torchvision tests EfficientNet-B2 at 288 and states 1.088 GMACs; the paper's 260 pixels take 0.994."""
    (b2,) = compare("efficientnet_b2").networks
    assert b2.side == 288
    assert round(b2.macs / 1e9, 3) == 1.088


def test_other_weights_are_chosen_by_a_part_of_their_tag() -> None:
    old, new = compare("resnet50", "resnet50@V2").networks
    assert new.reached is not None
    assert (new.name, new.reached.tag, new.reached.top1) == ("resnet50@V2", "IMAGENET1K_V2", 80.858)
    assert old.macs == new.macs
    with pytest.raises(UnknownName, match="no published weights of resnet50 have 'V3'"):
        compare("resnet50@V3")


def test_the_paper_can_be_asked_instead() -> None:
    (one,) = compare("resnet34", source="paper").networks
    assert one.reached is not None
    assert (one.reached.publisher, one.reached.top1, one.reached.protocol) == ("paper", 75.48, "10-crop, option B")
    with pytest.raises(UnknownName, match="there are weights, paper"):
        compare("resnet34", source="books")


def test_ways_of_testing_are_not_mixed_in_silence() -> None:
    mixed = " ".join(compare("resnet50", "efficientnet_b2", "inception_v4").notes())
    assert "tested in 3 ways" in mixed
    assert "2 publishers (TF-Slim, torchvision)" in mixed
    alike = " ".join(compare("resnet18", "resnet50").notes())
    assert "ways" not in alike
    assert "publishers" not in alike


def test_data_sets_are_not_mixed_in_one_picture() -> None:
    found = compare("resnet18", "resnet34", "cifar_resnet20", "lenet5")
    assert [one.name for one in found.drawn] == ["resnet18", "resnet34"]
    assert "Not drawn, having no figure on ImageNet here: cifar_resnet20, lenet5." in found.notes()
    assert compare("cifar_resnet*").data == "CIFAR-10"


def test_a_network_without_a_figure_has_its_costs() -> None:
    found = compare("lenet5")
    assert "416.5 k" in str(found)
    with pytest.raises(UsageError, match="nothing to draw"):
        picture(found)
    assert "<svg" not in page(found)


def test_what_can_not_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="name at least one"):
        compare()
    with pytest.raises(UnknownName, match="resnet50"):
        compare("resnet51")
    with pytest.raises(UnknownName, match="no model matches 'resnext9\\*'"):
        compare("resnext9*")


def test_every_publisher_has_its_rank() -> None:
    assert {one.publisher for name in list_models() for one in sheet(name).weights} <= set(PUBLISHERS)


def test_names_do_not_collide_and_stay_on_the_picture() -> None:
    found = compare(*CROWD)
    drawn = picture(found)
    names = {one.name for one in found.drawn}
    assert len(names) > 25
    boxes = [
        (mark.x, mark.y - LETTERS * 0.75, mark.x + width_of(mark.words, LETTERS), mark.y + 2.0)
        for mark in drawn.marks
        if isinstance(mark, Words) and mark.words in names
    ]
    assert len(boxes) == len(names)
    for i, a in enumerate(boxes):
        assert a[0] >= 0
        assert a[1] >= 0
        assert a[2] <= WIDE
        assert a[3] <= HIGH
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_the_area_of_a_circle_is_for_the_parameters() -> None:
    found = compare("resnet18", "vgg16", "resnet152")
    circles = {
        mark.tip.partition(":")[0]: mark for mark in picture(found).marks if isinstance(mark, Circle) and mark.tip
    }
    big, small = circles["vgg16"].radius, circles["resnet18"].radius
    assert math.isclose((small / big) ** 2, 11_689_512 / 138_357_544)
    assert circles["resnet152"].x > circles["resnet18"].x
    assert circles["resnet152"].y < circles["resnet18"].y


def test_json_and_page_hold_the_sources() -> None:
    found = compare("resnet18", "mobilenet_v2")
    stored = json.loads(json.dumps(found.to_json()))
    assert stored["networks"][1]["reached"]["publisher"] == "torchvision"
    content = page(found)
    assert "crop of 224 after resizing to 256" in content
    assert "3,504,872" in content
    assert found._repr_html_().count('<div class="striate">') == 1
