"""Other model servers, each in a virtual environment of its own: ``python -m benchmarks.peers``.

    table (what, with which settings) -> installed (environments) -> loads beside the bare handler -> page (Markdown)

``NAME.py`` is what the peer serves, written as its documentation says; it runs under the peer's own Python. The model
is the same everywhere: ``x + 1``, and the perceptron of ``benchmarks.models.perceptron`` in the same torch.
"""
