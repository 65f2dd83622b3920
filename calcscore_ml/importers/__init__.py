"""Importers: from a data set as its makers publish it to the rows of a manifest.

Each has a function that finds scans by their names, and one that reads every scan found before it is listed. Nothing of
a DICOM header enters a manifest: ids come from the names of files and folders, or are numbers.
"""
