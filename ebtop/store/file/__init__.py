"""The snapshot file: one SQLite database that replays, and that anybody with sqlite3 can read.

What was collected is in it twice. `chapters` and `segments` hold the batches as they came, compressed with the codec of
the live history: from them any moment is put together without reading more than half a minute before it. The `*_rows`
tables hold the records as rows, with every text and stack once, under views that people can ask. See SCHEMA.md.
"""
