"""The exported model: archive, export, runtimes and the predictor, the only inference path."""
