"""What a training run is told; the defaults are the case study's section 3.5."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator


class TrainingOptions(BaseModel, frozen=True, extra="forbid"):
    """Given, never learned. Rates are per step, losses in nats per image."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(32, ge=1, description="images a step, over all processes together")
    min_epoch_images: int = Field(
        512, ge=1, description="a smaller training set is drawn several times an epoch, augmented anew"
    )
    learning_rate: float = Field(1e-3, gt=0, description="at the first step")
    final_learning_rate: float = Field(1e-5, gt=0, description="at the last step, reached by a cosine")
    weight_decay: float = Field(1e-5, ge=0)
    beta: float = Field(1.0, ge=0, description="weight of the KL term once annealed")
    kl_anneal_epochs: int = Field(10, ge=0, description="beta rises linearly from 0 over these epochs")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    patience: int = Field(10, ge=1, description="epochs without a better validation loss before stopping")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    devices: int = Field(1, ge=1, description="processes that share the work (data parallel)")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="of the groups, held out from training")
    checkpoint_steps: int = Field(500, ge=1, description="steps between checkpoints inside an epoch")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate must not exceed learning_rate")
        if self.batch_size % self.devices:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of devices {self.devices}")
        return self
