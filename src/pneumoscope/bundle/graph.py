"""What `model.onnx` must be before any runtime sees it: self-contained, in the contract's shape.

A graph may name files outside itself for its tensors, and a runtime would read them: whatever the
bundle's hashes say, such a graph is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pneumoscope.core.errors import BundleError

OUTPUTS = ("logits", "embedding", "saliency")

_RANKS = {"logits": 2, "embedding": 2, "saliency": 4}


def check_graph(content: bytes, *, size: int, labels: int) -> None:
    """Refuse a graph that is not self-contained or does not fit the specification.

    Args:
        content: `model.onnx`.
        size: Side of the canvas.
        labels: How many labels the specification has.

    Raises:
        BundleError: the graph is not ONNX, names files, or has other inputs or outputs.
    """
    import onnx

    model = self_contained(content, "model.onnx")
    found = shapes_of(model)
    shapes = {name: shape for name, (_, shape) in found.items()}
    kinds = {name: kind for name, (kind, _) in found.items()}
    fits = (
        set(shapes) == {"pixels", *OUTPUTS}
        and [value.name for value in model.graph.input] == ["pixels"]
        and kinds["pixels"] == onnx.TensorProto.UINT8
        and shapes["pixels"][1:] == [1, size, size]
        and all(len(shapes[name]) == rank for name, rank in _RANKS.items())
        and shapes["logits"][1] == labels
        and shapes["saliency"][1] == labels
    )
    if not fits:
        raise BundleError(
            f"model.onnx: its inputs and outputs are {shapes}; bundle.json says {labels} labels "
            f"and a canvas of {size}. Export the bundle again."
        )


def self_contained(content: bytes, name: str) -> Any:
    """The ONNX model in `content`, which names no file outside itself.

    Args:
        content: The file.
        name: How messages call it.

    Raises:
        BundleError: it is not ONNX, or names files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise BundleError(f"{name}: cannot open it (not ONNX). Export it again.") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise BundleError(f"{name}: names files outside the bundle. Do not use this bundle.")
    return model


def shapes_of(model: Any) -> dict[str, tuple[int, list[int]]]:
    """Type and shape of each input and output of a graph; a free length is 0."""
    found = [_shape(value) for value in (*model.graph.input, *model.graph.output)]
    return {name: (kind, shape) for name, kind, shape in found}


def _shape(value: Any) -> tuple[str, int, list[int]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of a model: initialisers and attributes, in subgraphs and functions too."""
    for graph in (model.graph, *_training_graphs(model)):
        yield from _graph_tensors(graph)
    for function in model.functions:
        yield from _attribute_tensors(function.attribute_proto)
        yield from _node_tensors(function.node)


def _training_graphs(model: Any) -> Iterator[Any]:
    for training in model.training_info:
        yield from (training.initialization, training.algorithm)


def _graph_tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Any) -> Iterator[Any]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        held = (attribute.g,) if attribute.HasField("g") else ()
        for graph in (*held, *attribute.graphs):
            yield from _graph_tensors(graph)
