"""What people read: figures, the report of one evaluation and the card of one model."""
