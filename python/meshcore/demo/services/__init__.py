"""The programs of the demo: a small tea shop. They need Python alone, and know of no mesh.

`python -m meshcore.demo.services.NAME ADDRESS PORT [VERSION]` starts one.
"""
