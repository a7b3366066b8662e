"""`tastings` has what guests wrote. Three versions run beside each other.

v1 has words alone; v2 asks `ratings` and draws cups in ink; v3 draws them in colour.
"""

from typing import Any

from meshcore.demo.services.web import Answer, Asked, ask, json_answer, serve, version

NOTES = {
    "sencha": "A meadow after rain; gone too soon.",
    "darjeeling": "Muscat, a little hay, and a long walk home.",
    "rooibos": "Warm, red, and nobody is kept awake.",
}
COLOURS = {"v2": "ink", "v3": "colour"}


def answer(asked: Asked) -> Answer:
    """Answers `/NAME`."""
    name, running = asked.path.strip("/"), version()
    found: dict[str, Any] = {"version": running, "note": NOTES.get(name, "Nobody wrote anything.")}
    if running in COLOURS:
        found["ratings"] = ask(asked, "ratings:9080", f"/{name}").to_json()
        found["drawn"] = COLOURS[running]
    return json_answer(found)


if __name__ == "__main__":
    serve(answer)
