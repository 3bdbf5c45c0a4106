"""Five questions at the corners and in the middle of a plot, and how they are shown."""

BASE = [(0, 0), (4, 0), (4, 3), (0, 3), (2, 1)]
TUNED = [(0, 3), (0, 0), (4, 0), (4, 3), (1, 2)]
TEXTS = ["Who wrote Hamlet ?", "Where is Perth ?", "What is a platelet ?", "When was it ?", "Why ?"]
CATS = [{"A": 1.0}, {"B": 1.0}, {"C": 1.0}, {"A": 0.0}, {}]
BACKGROUND = (255, 255, 255)
DARK = (0x14, 0x17, 0x1C)
PROBABILITIES = [[0.9, 0.1, 0], [0.2, 0.5, 0.3], [0.6, 0, 0.4], [0.1, 0.1, 0.8], [0, 1, 0]]
