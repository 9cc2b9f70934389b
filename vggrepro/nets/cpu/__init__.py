"""Faster arithmetic on CPUs: 3x3 convolutions by Winograd's minimal filtering.

In: the weights of convolutions. Out: layers with the same outputs within rounding; `nets/inference.py` alone uses them.
Begin with `winograd.py`.
"""
