"""Pretraining, fine-tuning, distillation, and the pipeline of them."""
