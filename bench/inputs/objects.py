"""A program in Python: objects, dictionaries, strings, JSON there and back; prints a checksum."""
import json


class Place:
    def __init__(self, name, near):
        self.name, self.near = name, near


def build(count):
    places = [Place(f"place {i}", []) for i in range(count)]
    for i, place in enumerate(places):
        place.near = [places[i * k % count].name for k in range(1, 6)]
    return places


total = 0
for turn in range(6):
    places = build(20000)
    text = json.dumps([{"name": p.name, "near": p.near, "turn": turn} for p in places])
    words = {}
    for entry in json.loads(text):
        for word in " ".join(entry["near"]).split():
            words[word] = words.get(word, ())[-20:] + (entry["turn"],)
    total += len(text) + sum(len(w) * len(t) for w, t in sorted(words.items()))
print("checksum", total)
