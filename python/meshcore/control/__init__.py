"""The way of a change, from documents to the data plane."""
