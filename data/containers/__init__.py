"""Files that hold many things: zip archives, read without unpacking, and HDF5."""
