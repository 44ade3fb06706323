"""cloudq within the web frameworks that people have already: one package each, thin, over the App and the edges.

Nothing of cloudq imports it but the command line; each imports its framework, so none is loaded before it is named.
"""
