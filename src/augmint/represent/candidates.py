"""The views that `represent.views: auto` chooses among: named settings of existing policies.

    settings = CANDIDATES["gentle-turned"].apply(settings)

Fixed before the first trial, to cover garments, digits, natural photos and textures between them. To offer another
one, add a line here.
"""

from dataclasses import dataclass
from typing import Any

from augmint.config import RepresentSettings


@dataclass(frozen=True)
class Candidate:
    """One way to make views: a policy by name, and its options."""

    policy: str
    options: dict[str, Any]
    fits: str  # for people

    def apply(self, settings: RepresentSettings) -> RepresentSettings:
        """The settings with these views."""
        return settings.model_copy(update={"views": self.policy, "view_options": {self.policy: self.options}})


CANDIDATES = {
    "simclr": Candidate("simclr", {}, "most images, grey or in colour: as published"),
    "simclr-mild": Candidate(
        "simclr", {"area": 0.4, "colour": 0.2, "hue": 0.05, "blur": 0.25}, "photos in which colour or place tell"
    ),
    "gentle-upright": Candidate("gentle", {"turn": 0.0, "noise": 0.1, "flip": False}, "garments, parts, signs"),
    "gentle-turned": Candidate("gentle", {"turn": 10.0, "noise": 0.05, "flip": False}, "handwriting, digits"),
    "gentle-mirrored": Candidate("gentle", {"turn": 0.0, "noise": 0.1, "flip": True}, "objects seen from either side"),
    "any-way-up": Candidate(
        "gentle", {"turn": 180.0, "area": 0.3, "noise": 0.05, "flip": True}, "textures, cells, images from above"
    ),
}


USUAL = "simclr"  # stays unless another is clearly ahead, as it suits most images
