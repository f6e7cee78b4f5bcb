"""The verdict: green, amber or red per item, with the threshold that decided it."""
