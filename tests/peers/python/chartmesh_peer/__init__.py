"""A chartmesh member in Python, written from proto/README.md and the .proto files alone.

It asks and does not serve: it joins, says Hello, locates, lists, fetches, asks for the release and
opens the document. Section numbers in comments are those of proto/README.md.
"""
