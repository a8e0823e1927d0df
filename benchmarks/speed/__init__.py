"""elman and its peers, interleaved in one process: `python -m benchmarks.speed`.

A :class:`Plan` says what to measure; :func:`run` measures it and gives a :class:`Result`, whose
tables refuse to show a ratio unless the contract test of the engine passed in the same process.
"""
