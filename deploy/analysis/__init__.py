"""Long recordings in parts: each is replayed by itself, here or on a Dask cluster, and they are put together."""
