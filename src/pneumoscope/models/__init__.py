"""Networks: zoo, pretrained weights, head, classifier, saliency, checkpoints."""
