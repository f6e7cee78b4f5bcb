"""What predictions are worth: every figure is computed from the predictions table alone."""
