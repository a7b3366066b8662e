"""`catalog` knows the teas: where each is from, and how it is made."""

from http import HTTPStatus

from meshcore.demo.services.web import Answer, Asked, json_answer, serve

TEAS = {
    "sencha": {"title": "Sencha", "from": "Shizuoka", "water": "70 °C", "minutes": 2},
    "darjeeling": {"title": "Darjeeling", "from": "Makaibari", "water": "90 °C", "minutes": 3},
    "rooibos": {"title": "Rooibos", "from": "Cederberg", "water": "100 °C", "minutes": 6},
}


def answer(asked: Asked) -> Answer:
    """Answers `/NAME` with the tea, and `/` with all names."""
    name = asked.path.strip("/")
    if not name:
        return json_answer({"names": list(TEAS)})
    if name not in TEAS:
        return Answer(HTTPStatus.NOT_FOUND, b"no such tea")
    return json_answer(TEAS[name])


if __name__ == "__main__":
    serve(answer)
