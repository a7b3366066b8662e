"""A whole mesh on one machine, and a tour through it: what `meshcore demo` is made of."""
