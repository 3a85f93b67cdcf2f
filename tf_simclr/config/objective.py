"""Flags of the loss of each stage."""

import dataclasses
from typing import Any

from tf_simclr.config.field import (
    DISTILL,
    FINETUNE,
    LOADING,
    PIPELINE,
    PRETRAIN,
    TRAINING,
    Needs,
    check_fields,
    option,
)
from tf_simclr.config.methods import check_method, reads, trains


def _read_by_method(name: str) -> Needs:
    """An option that only some methods of pretraining read."""

    def met(config: Any) -> bool:
        return reads(config.objective.method, name)

    return Needs("with this --method, which does not read it", met)


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """Contrastive loss, fine-tuning and distillation."""

    method: str | None = option(
        None,
        "How the stage learns. Pretraining: simclr, the default; supcon, which"
        " pulls images of one label together, too; vicreg, which needs no"
        " negatives. Fine-tuning: finetune, the default; fixmatch, which also"
        " learns from images without a label what it is sure of. MODULE:CLASS"
        " names a method of your own.",
        on_resume="fixed",
        read_by=TRAINING,
        needs=Needs(
            "on this stage, which it does not train",
            lambda c: trains(c.objective.method, c.stage),
        ),
    )
    method_options: str = option(
        "",
        "Options of the method alone, as NAME=VALUE separated by spaces, such"
        ' as --method_options="variance=25 covariance=1" of vicreg.',
        on_resume="told",
        read_by=TRAINING,
        needs=Needs(
            "on this stage, which --method does not train",
            lambda c: trains(c.objective.method, c.stage),
        ),
    )
    temperature: float = option(
        0.1,
        "Temperature of the contrastive loss.",
        above=0.0,
        minimum=1e-4,
        maximum=1e4,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=PRETRAIN,
        needs=_read_by_method("temperature"),
        instead={"distill": "distillation_temperature"},
    )
    hidden_norm: bool = option(
        True,
        "Normalise projections in the contrastive loss, so that"
        " similarities are cosines.",
        of_original=True,
        on_resume="told",
        read_by=PRETRAIN,
        needs=_read_by_method("hidden_norm"),
    )
    contrastive_reduction: str = option(
        "sum_of_views",
        "sum_of_views minimises the two views' mean losses added up, as the"
        " original release does; mean minimises SimCLR's equation 1, half of"
        " that.",
        choices=("sum_of_views", "mean"),
        on_resume="told",
        read_by=PRETRAIN,
        needs=_read_by_method("contrastive_reduction"),
    )
    memory_size: int = option(
        0,
        "Queue of past embeddings that extends the contrast examples; a"
        " momentum encoder then makes them (the paper's memory: 65536). 0"
        " compares the images of a batch with each other.",
        minimum=0,
        maximum=2**24,
        on_resume="fixed",
        read_by=PRETRAIN,
        needs=_read_by_method("memory_size"),
    )
    memory_momentum: float = option(
        0.999,
        "Decay of the momentum encoder's moving average, where"
        " --memory_size is above 0.",
        minimum=0.0,
        maximum=1.0,
        on_resume="told",
        read_by=PRETRAIN,
        needs=Needs(
            "without --memory_size", lambda c: c.objective.memory_size > 0
        ),
    )
    keep_head: bool = option(
        False,
        "Fine-tune from the stored classifier instead of a fresh one at"
        " zero. It may have been trained on more labels than"
        " --labels_per_class allows.",
        on_resume="told",
        read_by=FINETUNE,
        needs=Needs(
            "with --from_scratch, which has no stored classifier",
            lambda c: not c.objective.from_scratch,
        ),
    )
    lineareval_while_pretraining: bool = option(
        True,
        "Train an online linear classifier beside pretraining, behind a"
        " stop-gradient, on the labelled subset. Off by itself where there"
        " are no labels.",
        of_original=True,
        on_resume="told",
        read_by=PRETRAIN,
        idle=(False,),
    )
    checkpoint: str | None = option(
        None,
        "Weights to start from: a run directory or a checkpoint prefix."
        " Required for fine-tuning, unless --from_scratch is given; optional"
        " for pretraining and for the student of a distillation.",
        path=True,
        of_original=True,
        on_resume="free",
        read_by=TRAINING | LOADING,
    )
    from_scratch: bool = option(
        False,
        "Fine-tune from random weights: the supervised baseline.",
        hparam=True,
        on_resume="told",
        read_by=FINETUNE,
    )
    fine_tune_after_block: int = option(
        -1,
        "Last part of the encoder that stays frozen: -1 freezes nothing, 0"
        " the stem, 1 to 3 the stem and so many block groups, 4 the whole"
        " encoder, which is linear evaluation (linear probe).",
        minimum=-1,
        maximum=4,
        hparam=True,
        # The original refuses it, too, where it has no effect.
        of_original=False,
        on_resume="fixed",
        read_by=FINETUNE,
    )
    frozen_batch_norm: str = option(
        "keep",
        "What batch norm does in layers that --fine_tune_after_block freezes:"
        " keep its statistics and use them, or update them and use those of"
        " the batch, as the original release does.",
        choices=("keep", "update"),
        on_resume="told",
        read_by=FINETUNE,
        needs=Needs(
            "without --fine_tune_after_block",
            lambda c: c.objective.fine_tune_after_block >= 0,
        ),
    )
    zero_init_logits_layer: bool = option(
        False,
        "Start the classifier of --from_scratch at zero. Fine-tuning from a"
        " checkpoint always does.",
        of_original=True,
        on_resume="told",
        read_by=FINETUNE,
    )
    teacher: str | None = option(
        None,
        "The distillation teacher: the run directory or checkpoint prefix of a"
        " fine-tuned network, or any classifier's SavedModel, .keras or .onnx"
        " file; features, a linear classifier on --features. Of several,"
        " separated by commas, the mean answer is learned.",
        path="several",
        on_resume="free",
        read_by=frozenset({"distill"}),
        instead=dict.fromkeys(("pretrain", "finetune", *LOADING), "checkpoint"),
    )
    teacher_proj_selector: int = option(
        0,
        "Which layer of the projection head the classifier of a teacher of the"
        " original release reads, which its weights do not tell: 1 for the"
        " published networks fine-tuned on 1 % and 10 %.",
        minimum=0,
        on_resume="told",
        read_by=DISTILL,
        instead=dict.fromkeys(
            ("pretrain", "finetune", *LOADING), "ft_proj_selector"
        ),
    )
    class_balance: str = option(
        "none",
        "Where classes have unequal numbers of labels: loss weighs an image's"
        " cross-entropy by N / (C n), for its class's n of N labels in C"
        " classes; batches draws classes evenly; none counts images alike."
        " Distillation takes loss alone, for the true labels.",
        choices=("none", "loss", "batches"),
        hparam=True,
        on_resume="told",
        read_by=FINETUNE | DISTILL,
        needs=Needs(
            "where --distillation_alpha=1 uses no label",
            lambda c: (
                c.stage != "distill" or c.objective.distillation_alpha < 1.0
            ),
        ),
    )
    distillation_temperature: float = option(
        1.0,
        "Temperature of teacher and student in distillation. The paper takes"
        " 0.1 for self-distillation and 1.0 for smaller students.",
        above=0.0,
        minimum=1e-4,
        maximum=1e4,
        hparam=True,
        on_resume="told",
        read_by=DISTILL,
        instead={"pretrain": "temperature"},
    )
    distillation_alpha: float = option(
        1.0,
        "Weight of the distillation loss; 1 - alpha is that of the true"
        " labels' cross-entropy. 1 uses no label.",
        minimum=0.0,
        maximum=1.0,
        hparam=True,
        on_resume="told",
        read_by=DISTILL,
    )
    propagate_labels: str = option(
        "off",
        "Whether a student also learns from the labels as they are carried"
        " along the neighbours of images, by the teacher's features. teacher:"
        " they take the place of the teacher's answers. both: the mean of the"
        " two is learned. off: the teacher's answers alone, as in the paper.",
        choices=("off", "teacher", "both"),
        hparam=True,
        on_resume="fixed",
        read_by=DISTILL,
    )
    propagation: str = option(
        "spreading",
        "How --propagate_labels carries labels. spreading: label spreading,"
        " each class with the same weight. poisson: Poisson learning."
        " poisson_mbo: its form that makes all classes equally large.",
        choices=("spreading", "poisson", "poisson_mbo"),
        hparam=True,
        on_resume="fixed",
        read_by=DISTILL,
        needs=Needs(
            "without --propagate_labels",
            lambda c: c.objective.propagate_labels != "off",
        ),
    )
    propagate_along: str = option(
        "teacher",
        "Pipeline: whose features --propagate_labels carries labels along:"
        " the teacher's, which were trained on the labels, or the pretrained"
        " network's, which were not. A distillation alone takes --features.",
        choices=("teacher", "pretrained"),
        hparam=True,
        on_resume="free",
        read_by=PIPELINE,
        instead={"distill": "features"},
    )
    neighbour_search: str = option(
        "exact",
        "Search for the neighbours along which labels are carried. exact:"
        " each image is compared with all others. approximate: with those of"
        " similar cells, which misses a few neighbours and is faster for many"
        " images; needs the package faiss-cpu.",
        choices=("exact", "approximate"),
        on_resume="fixed",
        read_by=DISTILL,
        needs=Needs(
            "without --propagate_labels",
            lambda c: (
                c.objective.propagate_labels != "off" or c.stage != "distill"
            ),
        ),
    )
    distillation_temperature_squared: bool = option(
        False,
        "Multiply the distillation loss by the squared temperature, as the"
        " original release's notebook does.",
        on_resume="told",
        read_by=DISTILL,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_method(self.method)
