"""The nets of Table 1: their layers, their initial weights, their weights on disk.

In: the name of a net and the settings of its size. Out: a `torch.nn.Module` and safetensors files.
`inference.py` makes a finished net ready for the device and the precision that it is tested in; what only a CPU needs lies in
`cpu/`. Table 1 as lists is `LAYERS` in `paper/nets.py`.
Begin with `vgg.py`, which builds a net from its list.
"""
