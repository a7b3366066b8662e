"""`ratings` knows how many of five cups guests gave a tea."""

from http import HTTPStatus

from meshcore.demo.services.web import Answer, Asked, json_answer, serve

CUPS = {"sencha": 5, "darjeeling": 4, "rooibos": 3}


def answer(asked: Asked) -> Answer:
    """Answers `/NAME`."""
    cups = CUPS.get(asked.path.strip("/"))
    if cups is None:
        return Answer(HTTPStatus.NOT_FOUND, b"nobody has tasted that")
    return json_answer({"cups": cups})


if __name__ == "__main__":
    serve(answer)
