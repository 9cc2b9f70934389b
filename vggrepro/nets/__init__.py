"""The nets of Table 1: their layers, their initial weights, their weights on disk.

In: the name of a net and the settings of its size. Out: a `torch.nn.Module` and safetensors files.
`inference.py` lays a finished net out for the device that tests it; what only a CPU needs lies in `cpu/`.
Begin with `vgg.py`: Table 1 is a list there.
"""
