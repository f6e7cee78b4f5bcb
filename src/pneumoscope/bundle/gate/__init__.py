"""The gate: whether an image can be answered at all, in three stages that are reported apart."""
