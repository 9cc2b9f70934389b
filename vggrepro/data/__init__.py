"""Images: data sets on disk, prepared stores, and the views that a net sees.

In: a data set's folder, archives or zip. Out: a store of one flat file with an index, and crops of its images. Begin with
`layouts.py` (data sets), then `store.py` (what is read) and `transforms.py` (what a net sees; `crops.py`: the same of a whole
batch); `colours.py` has the mean colour, `standin.py` draws images where no data set is given; `collections.py` has the data
sets of transfer, `devkit.py` ILSVRC's own files; `fetch.py` brings data sets here.
"""
