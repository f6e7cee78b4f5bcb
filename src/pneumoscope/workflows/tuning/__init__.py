"""Tune: an Optuna study over recipe fields, its workers, and the winner trained again."""
