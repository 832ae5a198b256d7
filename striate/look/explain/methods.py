"""The methods by name, each as one call that gives a map for each image: for the tests of maps, and for commands."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from striate.errors import UnknownName, suggest
from striate.look.explain.at_layer import Evidence
from striate.look.explain.attribution import Attribution, integrated_gradients, saliency
from striate.look.explain.class_activation import cam, gradcam_plus_plus, layer_cam, score_cam
from striate.look.explain.gradcam import gradcam
from striate.look.explain.localise import enlarged
from striate.look.explain.occlusion import occlusion
from striate.look.explain.rectified import deconvolution, guided_backpropagation, guided_gradcam

Explain = Callable[[nn.Module, Tensor, int, Tensor], Tensor]  # module, images, classes, target -> maps (N, H, W)

CLASS_ACTIVATION: dict[str, Callable[..., Evidence]] = {
    "gradcam": gradcam, "cam": cam, "gradcam++": gradcam_plus_plus, "scorecam": score_cam, "layercam": layer_cam,
}  # fmt: skip
ATTRIBUTION: dict[str, Callable[..., Attribution]] = {
    "integrated": integrated_gradients, "saliency": saliency, "occlusion": occlusion, "guided": guided_backpropagation,
    "deconvolution": deconvolution, "guided_gradcam": guided_gradcam,
}  # fmt: skip
TITLES = {
    "gradcam": "Grad-CAM", "cam": "CAM", "gradcam++": "Grad-CAM++", "scorecam": "Score-CAM", "layercam": "LayerCAM",
    "integrated": "Integrated gradients", "saliency": "Saliency", "occlusion": "Occlusion sensitivity",
    "guided": "Guided backpropagation", "deconvolution": "Deconvolution", "guided_gradcam": "Guided Grad-CAM",
}  # fmt: skip


def unknown(name: str, known: list[str]) -> UnknownName:
    """The error for a method that there is not."""
    return UnknownName(f"no method is called {name!r}{suggest(name, known, 'there are ' + ', '.join(known))}")


@dataclass(frozen=True)
class Method:
    """One way to explain, ready to be applied again and again."""

    name: str
    layer: str | None = None  # for those that read one; None finds it

    def __call__(self, module: nn.Module, images: Tensor, classes: int, target: Tensor) -> Tensor:
        """Normalised images (N, c, H, W) -> maps (N, H, W), larger where more speaks for the class.

        Raises: as the method itself; UnknownName for one that there is not.
        """
        if self.name in CLASS_ACTIVATION:
            seen = CLASS_ACTIVATION[self.name](module, images, classes, layer=self.layer, target=target)
            height, width = images.shape[2:]
            return enlarged(seen.maps, (height, width))
        if self.name not in ATTRIBUTION:
            raise unknown(self.name, [*CLASS_ACTIVATION, *ATTRIBUTION])
        options = {"layer": self.layer} if self.name == "guided_gradcam" else {}
        return ATTRIBUTION[self.name](module, images, classes, target=target, **options).maps
