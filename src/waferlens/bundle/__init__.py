"""A model on disk: weights, exports, calibration, thresholds, card, hashes. Nothing is ever unpickled.

vae-wafer/
├── config.json               what rebuilds the detector and reads images: options, input type, recipe, seed
├── model.safetensors         weights of the network
├── calibration.safetensors   error statistics per position and latent, region of interest, scale of the score
├── thresholds.json           where PASS ends and REJECT begins, and how these were learned
├── reference.parquet         score, error and latent of every held-out normal (p-values, drift)
├── samples.safetensors       a few normal images: export, parity gate and self-test need pixels
├── split.json                which image was trained on and which was held out, with their hashes
├── history.json              the training curves
├── metrics.json              what is known without a test set
├── card.md                   the model card, for people
├── exports/                  the same graph for TorchScript, ONNX Runtime, OpenVINO (32 and 8 bit)
├── parity.json               how far each engine is from the reference, and the default engine
├── manifest.json             SHA-256 of every file above, data fingerprint, git commit, versions
└── manifest.sig              where a key signed it: Ed25519 signature of manifest.json
"""
