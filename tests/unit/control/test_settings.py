import os
from pathlib import Path

from meshcore.control.settings import Settings, Wanted, mesh_name


def key(mesh):
    return Settings(Wanted("web", "default", "v1"), mesh, "0", "/state").key


def test_meshes_of_one_name_in_two_places_are_told_apart():
    assert key("/a/mesh.yaml") != key("/b/mesh.yaml")
    assert key("/a/mesh/") == key("/a/mesh")
    assert mesh_name("/a/mesh.yaml") != mesh_name("/b/mesh.yaml")
    assert mesh_name("mesh.yaml") == mesh_name(f"{Path.cwd()}/mesh.yaml")


def test_a_key_is_the_name_of_a_file():
    found = key("/a/" + os.fsdecode(b"\xff.yaml"))
    assert "/" not in found
    assert found.endswith(",default,web,v1")
