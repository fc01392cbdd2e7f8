"""Pictures as files and as rows: image sets, thumbnails, features.h5."""
