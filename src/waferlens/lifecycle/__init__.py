"""The life of models: versions, registry, rollout, shadow, canary, guardrails, replay and retraining."""
