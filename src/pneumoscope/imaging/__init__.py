"""Radiographs: reading any format, bringing them to the network's canvas and back, overlays."""
