"""Flags of the augmentation that makes training views."""

import dataclasses

from tf_simclr.config.consistency import (
    CONSISTENCY_METHOD,
    trains_consistently,
)
from tf_simclr.config.field import (
    FINETUNE,
    PRETRAIN,
    PREVIEW,
    TRAINING,
    Needs,
    check_fields,
    option,
)

# What only pretraining has, and the strong views of consistency training.
_STRONG = PRETRAIN | FINETUNE | PREVIEW
_SEEN = Needs(
    f"on fine-tuning without --method={CONSISTENCY_METHOD}",
    lambda c: c.stage != "finetune" or trains_consistently(c),
)
_BLURS = Needs("with --nouse_blur", lambda c: c.augment.use_blur)


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """The SimCLR augmentation, each part with its own switch.

    Defaults are those of SimCLR (arXiv 2002.05709, appendix A) and of the
    original release. `supervised()` is the milder set that fine-tuning and
    distillation use.
    """

    crop_min_area: float = option(
        0.08,
        "Smallest share of the image's area that a random crop covers. 1 keeps"
        " the whole image.",
        above=0.0,
        maximum=1.0,
        hparam=True,
        on_resume="told",
        read_by=TRAINING | PREVIEW,
        idle=(1.0,),
    )
    flip_probability: float = option(
        0.5,
        "Probability of a horizontal flip. Set it to 0 for images whose mirror"
        " image means something else, such as digits or letters.",
        minimum=0.0,
        maximum=1.0,
        on_resume="told",
        read_by=TRAINING | PREVIEW,
        idle=(0.0,),
    )
    color_jitter_strength: float = option(
        1.0,
        "The strength of color jittering (brightness, contrast and saturation"
        " 0.8 times this, hue 0.2 times). 0 turns jitter and grayscale off.",
        minimum=0.0,
        maximum=10.0,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=_STRONG,
        idle=(0.0,),
        needs=_SEEN,
    )
    color_jitter_probability: float = option(
        0.8,
        "Probability that a view is color-jittered.",
        minimum=0.0,
        maximum=1.0,
        on_resume="told",
        read_by=_STRONG,
        idle=(0.0,),
        needs=_SEEN,
    )
    brightness: str = option(
        "multiplicative",
        "How jitter changes brightness: by a factor (SimCLRv2) or by a shift"
        " (SimCLRv1).",
        choices=("multiplicative", "additive"),
        on_resume="told",
        read_by=_STRONG,
        needs=_SEEN,
    )
    grayscale_probability: float = option(
        0.2,
        "Probability that a view loses its color.",
        minimum=0.0,
        maximum=1.0,
        on_resume="told",
        read_by=_STRONG,
        idle=(0.0,),
        needs=_SEEN,
    )
    use_blur: bool = option(
        True,
        "Blur views of pretraining (Gaussian blur).",
        of_original=True,
        on_resume="told",
        read_by=_STRONG,
        idle=(False,),
        needs=_SEEN,
    )
    blur_probability: float = option(
        0.5,
        "Probability that a view is blurred, where --use_blur is on.",
        minimum=0.0,
        maximum=1.0,
        on_resume="told",
        read_by=_STRONG,
        idle=(0.0,),
        needs=(_SEEN, _BLURS),
    )
    blur_sigma: str = option(
        "per_image",
        "Whether the blur's width is drawn for each image, or once for a whole"
        " batch and view as the original release does.",
        choices=("per_image", "per_batch"),
        on_resume="told",
        read_by=_STRONG,
        needs=(_SEEN, _BLURS),
    )
    rotate_degrees: float = option(
        0.0,
        "Views are rotated by up to this many degrees either way. Useful for"
        " images without color.",
        minimum=0.0,
        maximum=180.0,
        on_resume="told",
        read_by=TRAINING | PREVIEW,
    )
    shear_degrees: float = option(
        0.0,
        "Views are sheared horizontally by up to this many degrees either way.",
        minimum=0.0,
        maximum=60.0,
        on_resume="told",
        read_by=TRAINING | PREVIEW,
    )
    translate_fraction: float = option(
        0.0,
        "Views are shifted by up to this share of their side, either way on"
        " both axes.",
        minimum=0.0,
        maximum=0.5,
        on_resume="told",
        read_by=TRAINING | PREVIEW,
    )

    augment_on: str = option(
        "auto",
        "Where views are made: host makes them on the CPU, ahead of the step;"
        " device leaves all but reading and decoding to the device's own"
        " step, for a CPU that cannot keep up; auto takes device on GPUs, else"
        " host. The views are the same.",
        choices=("auto", "host", "device"),
        on_resume="free",
        read_by=TRAINING | PREVIEW,
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def placed(self, *, on_device: bool) -> "AugmentConfig":
        """The same, with `auto` resolved.

        Args:
          on_device: what `auto` means here.
        """
        if self.augment_on != "auto":
            return self
        place = "device" if on_device else "host"
        return dataclasses.replace(self, augment_on=place)

    def supervised(self) -> "AugmentConfig":
        """Crop, flip and affine only: the views of fine-tuning (paper, 4.1).

        SimCLRv2 fine-tunes and distils with random crops and flips, without
        color distortion or blur.
        """
        return dataclasses.replace(
            self, color_jitter_strength=0.0, use_blur=False
        )

    @property
    def has_affine(self) -> bool:
        """True if any of rotate, shear and translate is on."""
        return bool(
            self.rotate_degrees or self.shear_degrees or self.translate_fraction
        )
