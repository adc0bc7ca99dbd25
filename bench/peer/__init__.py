"""The network of the BiomedParse family in PyTorch, and the runtimes that medparse is measured against."""
