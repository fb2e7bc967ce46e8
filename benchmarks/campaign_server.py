"""
A server of one call only, `get_all_subscriber_flow_info`, with texts that compress like what people write.

    python benchmarks/campaign_server.py SUBSCRIBERS FOLDER

The sandbox would do, but that its answers repeat: its campaigns compress to a thirtieth, which would flatter
every contestant that compresses. Prints its port when it is ready.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path

CAMPAIGN = "100"
QUESTIONS = {
    "451": "What do you like to do?",
    "452": "Which of our products do you use, and what for?",
    "453": "What is your order number?",
    "454": "Anything else you would like to tell us?",
    "455": "Which country do you live in?",
}
_SYLLABLES = ["schö", "ñan", "ло", "は", *(first + last for first in "bdfgklmnprstvz" for last in "aeiou")]
_WORDS = 3_000
#: The number of texts, of which each answer takes one: more than any compressor looks back over.
_TEXTS = 50_000


def write_body(subscribers: int, path: Path) -> None:
    """Write the whole answer for a number of subscribers: some 500 bytes each, the same at every run."""
    chance = random.Random(1)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(_WORDS)]
    # A few words are frequent and most rare, as in any language.
    weights = list(accumulate(1 / rank for rank in range(1, _WORDS + 1)))
    texts = [
        json.dumps(" ".join(chance.choices(words, cum_weights=weights, k=chance.randint(1, 11))))
        for _ in range(_TEXTS)
    ]
    choices = [json.dumps(", ".join(chance.sample(words[:9], k=chance.randint(1, 3)))) for _ in range(200)]
    countries = [json.dumps(word.title()) for word in words[:60]]
    before = [
        f'{{"id":"{question_id}","question":{json.dumps(question)},"answer":'
        for question_id, question in QUESTIONS.items()
    ]
    with path.open("w") as file:
        file.write(f'{{"id":"{CAMPAIGN}","flow_name":"Spring survey","data":{{')
        subscriber_id = 24_000_000_000_000_000
        for number in range(subscribers):
            subscriber_id += chance.randint(1, 900_000_000)
            answers = (
                chance.choice(choices),
                chance.choice(texts),
                f'"CT-{chance.getrandbits(40)}"',
                chance.choice(texts),
                chance.choice(countries),
            )
            written = ",".join(f"{start}{answer}}}" for start, answer in zip(before, answers, strict=True))
            file.write(f'{"," if number else ""}"{subscriber_id}":[{written}]')
        file.write("}}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body: Path

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(self.body.stat().st_size))
        self.end_headers()
        with self.body.open("rb") as file:
            shutil.copyfileobj(file, self.wfile, 256 * 1024)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Make the answer and serve it until the end."""
    _Handler.body = Path(sys.argv[2], f"body-{sys.argv[1]}.json")
    write_body(int(sys.argv[1]), _Handler.body)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
