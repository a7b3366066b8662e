"""Spellings of a path that is denied, and of paths that are not.

The protected file is `/private/secret.txt`; the policy denies `/private*`. Each generator makes a
kind of spelling; what no origin takes for the file costs nothing but a request.
"""

import itertools
from collections.abc import Iterator

DENIED = "private/secret.txt"
# fmt: off


def spellings() -> list[str]:
    """Returns at least five thousand, each once."""
    return list(dict.fromkeys(itertools.chain(
        _inserted(), _encoded(), _dots(), _slashes(), _parameters(), _cases(), _overlong(), _tails(), _pairs(),
    )))


def _inserted() -> Iterator[str]:
    """A byte, plain or encoded, at each joint."""
    for byte in range(0x100):
        encoded = f"%{byte:02x}"
        plain = chr(byte) if 0x21 <= byte < 0x7F and byte != 0x25 else ""
        for text in filter(None, (encoded, encoded.upper(), plain)):
            for form in ("/{}private/secret.txt", "/private{}/secret.txt", "/private/{}secret.txt", "/{}/private/secret.txt", "/private/{}/secret.txt",
                         "{}/private/secret.txt", "/x/..{}/private/secret.txt", "/.{}/private/secret.txt"):
                path = form.format(text)
                if path.startswith("/"):
                    yield path


def _encoded() -> Iterator[str]:
    """Each letter of the name encoded, once and twice."""
    for place, letter in enumerate(DENIED):
        for code in (f"%{ord(letter):02x}", f"%{ord(letter):02X}", f"%25{ord(letter):02x}", f"%%{ord(letter):02x}", f"%u00{ord(letter):02x}", f"%0{ord(letter):02x}"):
            yield "/" + DENIED[:place] + code + DENIED[place + 1:]
    for code in ("%{:02x}", "%{:02X}", "%25{:02x}", "%2525{:02x}"):
        yield "/" + "".join(code.format(ord(letter)) for letter in DENIED)
        yield "/" + "".join(code.format(ord(letter)) for letter in "private") + "/secret.txt"
        yield "/private/" + "".join(code.format(ord(letter)) for letter in "secret.txt")


_DOTS = (".", "%2e", "%2E", "%252e", "%c0%ae", "%e0%80%ae", "%uff0e")
_SLASHES = ("/", "//", "///", "%2f", "%2F", "%252f", "\\", "%5c", "%5C", "%255c", "/%2f", "%2f/", "/./", "%c0%af", "%u2215", "/;/", ";/", "/.;/")


def _dots() -> Iterator[str]:
    """Detours by dot segments, in all spellings of dot and slash."""
    for first, second, slash in itertools.product(_DOTS, _DOTS, _SLASHES):
        up = first + second
        yield f"/public{slash}{up}{slash}{DENIED}"
        yield f"/public/{up}{slash}{DENIED}"
        yield f"/{up}{slash}{DENIED}"
        yield f"/x{slash}y{slash}{up}{slash}{up}{slash}{DENIED}"
    for dot, slash in itertools.product(_DOTS, _SLASHES):
        yield f"/{dot}{slash}{DENIED}"
        yield f"/private{slash}{dot}{slash}secret.txt"
        yield f"/private/{dot}{slash}secret.txt"


def _slashes() -> Iterator[str]:
    """Slashes at each joint."""
    for first, second in itertools.product(_SLASHES, repeat=2):
        yield f"/{first}private{second}secret.txt"
        yield f"/public{first}..{second}{DENIED}"
        if first[0] == "/":
            yield f"{first}private{second}secret.txt"


def _parameters() -> Iterator[str]:
    """Path parameters, queries and fragments."""
    for mark in (";", ";x", ";x=y", ";x=/", ";/", ";..", ";jsessionid=1", "%3b", "%3bx=y", "?", "?/", "#", "%23", "%3f", "&", "$", ",", "!", "~", "*", "@", ":", "+", "%20", "%09", "%00", "%0a", "%0d", "%0d%0a", "%85", "%a0"):
        for form in ("/private{}/secret.txt", "/{}/private/secret.txt", "/private/secret.txt{}", "/..{}/private/secret.txt", "/public/..{}/private/secret.txt", "/{}private/secret.txt",
                     "/private/{}/../secret.txt", "/public/{}/../../private/secret.txt", "/x{}/../private/secret.txt"):
            yield form.format(mark)


def _cases() -> Iterator[str]:
    """Capitals."""
    for name in ("PRIVATE", "Private", "pRIVATE", "privatE", "PRIVATe"):
        yield f"/{name}/secret.txt"
        yield f"/./{name}/secret.txt"


def _overlong() -> Iterator[str]:
    """UTF-8 that is longer than need be, and look-alikes."""
    for text in ("%c1%b0rivate", "%f0%80%81%b0rivate", "%e0%81%b0rivate", "%ef%bd%90rivate", "pr%c4%b1vate", "p%72ivat%65", "%70%72%69%76%61%74%65", "private%e2%80%8b", "%ef%bb%bfprivate", "private%cc%81"):
        for slash in _SLASHES:
            yield f"/{text}{slash}secret.txt"


def _tails() -> Iterator[str]:
    """What may follow the file."""
    for tail in ("", "?x", "#x", "/", "/.", "/..", "/../secret.txt", "//", ".", "..", "%00", "%00.html", "%20", "::$DATA", "~", ".bak", ";.css", "/x.css", "%2f", "%2e", "?a=/public", "?/../public"):
        yield f"/{DENIED}{tail}"
        yield f"//{DENIED}{tail}"
        yield f"/./{DENIED}{tail}"
        yield f"/public/../{DENIED}{tail}"


def _pairs() -> Iterator[str]:
    """Two tricks at once."""
    fronts = ("/", "//", "/./", "/%2e/", "/public/../", "/public/%2e%2e/", "/public/..%2f", "/%2f", "/;x/../", "/\\", "/%5c", "/x//../", "/x/..//", "/.//")
    names = ("private", "%70rivate", "privat%65", "%2570rivate", "PRIVATE", "private;x", "private%20", "private%00", "./private", "%2e/private", "x/../private")
    middles = ("/", "//", "/./", "%2f", "/%2e/", "\\", "%5c", ";/", "/x/../", "/%2e%2e/private/", "%252f")
    for front, name, middle in itertools.product(fronts, names, middles):
        yield f"{front}{name}{middle}secret.txt"


def legal() -> list[str]:
    """Two hundred paths that the policy does not concern; each must reach its origin."""
    words = ("public", "a", "index.html", "privat", "pri/vate", "x/private", "Öl".encode().hex(), "a-b_c~d", "a.b.c", "v1", "api", "1", "secret.txt", "a%20b", "%C3%BC", "a+b", "a,b", "a;b=c", "a:b", "a@b", "a!b", "a'b", "(a)", "a*b", "a=b", "a&b", "$a")
    forms = ("/{}", "/{}/", "/x/{}", "/{}?a=b", "/{}?x=/private/secret.txt", "/x/{}/y.json", "/{}?a=%2Fprivate", "/q?{}")
    return list(dict.fromkeys(form.format(word) for word, form in itertools.product(words, forms)))
