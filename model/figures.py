"""Figures that people doodle, as lines: lists of places [k, 2], (x, y) in about -1..1, y down."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]


def figure(random: np.random.Generator) -> list[Line]:
    """One of the FIGURES, its proportions drawn by chance."""
    return FIGURES[random.integers(len(FIGURES))](random)


def line(*places: tuple[float, float]) -> Line:
    return np.array(places, float)


def arc(x: float, y: float, radius: float, start: float = 0, turns: float = 1) -> Line:
    angle = 2 * np.pi * (start + np.linspace(0, turns, 40))
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def star(random: np.random.Generator) -> list[Line]:
    points = 2 * int(random.integers(4, 8))
    radius = np.where(np.arange(points + 1) % 2, random.uniform(0.3, 0.5), 1)
    angle = np.arange(points + 1) * 2 * np.pi / points
    return [np.stack([np.sin(angle), -np.cos(angle)], axis=1) * radius[:, None]]


def spiral(random: np.random.Generator) -> list[Line]:
    t = np.linspace(0.05, 1, 120)
    angle = t * 2 * np.pi * random.uniform(2, 4)
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1) * t[:, None]]


def heart(random: np.random.Generator) -> list[Line]:
    t = np.linspace(0, 2 * np.pi, 60)
    down = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    arrow = [line((-1.2, 0.6), (1.2, -0.6))] if random.random() < 0.5 else []
    return [np.stack([np.sin(t) ** 3, -down / 16], axis=1), *arrow]


def house(random: np.random.Generator) -> list[Line]:
    eaves, door = random.uniform(-0.3, 0.1), random.uniform(0.1, 0.3)
    walls = line((-0.8, eaves), (-0.8, 1), (0.8, 1), (0.8, eaves))
    roof = line((-1, eaves), (0, -1), (1, eaves), (-1, eaves))
    return [walls, roof, line((-door, 1), (-door, 0.4), (door, 0.4), (door, 1))]


def face(random: np.random.Generator) -> list[Line]:
    mood = 0.05 if random.random() < 0.5 else 0.55
    eyes = [line((x, -0.35), (x, -0.2)) for x in (-0.35, 0.35)]
    return [arc(0, 0, 1), *eyes, arc(0, 0.15 if mood < 0.5 else 0.7, 0.45, mood, 0.4)]


def stick_man(random: np.random.Generator) -> list[Line]:
    arms, legs = random.uniform(-0.5, 0.3), random.uniform(0.3, 0.7)
    body = line((0, -0.45), (0, 0.3))
    limbs = [line((-0.6, arms), (0, -0.2), (0.6, arms)), line((-legs, 1), (0, 0.3), (legs, 1))]
    return [arc(0, -0.72, 0.27), body, *limbs]


def flower(random: np.random.Generator) -> list[Line]:
    petals = int(random.integers(3, 7))
    angle = np.linspace(0, 2 * np.pi, 200)
    radius = (0.55 + 0.45 * np.cos(petals * angle))[:, None]
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius]


def arrow(random: np.random.Generator) -> list[Line]:
    head = random.uniform(0.3, 0.6)
    return [line((-1, 0), (1, 0)), line((1 - head, -head), (1, 0), (1 - head, head))]


def zigzag(random: np.random.Generator) -> list[Line]:
    corners = int(random.integers(5, 10))
    height = np.where(np.arange(corners) % 2, 0.6, -0.6)
    return [np.stack([np.linspace(-1, 1, corners), height], axis=1)]


def grid(random: np.random.Generator) -> list[Line]:
    places = np.linspace(-1, 1, int(random.integers(3, 6)))
    return [line((p, -1), (p, 1)) for p in places] + [line((-1, p), (1, p)) for p in places]


def tree(random: np.random.Generator) -> list[Line]:
    crown = line((-0.7, 0.4), (0, -1), (0.7, 0.4), (-0.7, 0.4))
    trunk = random.uniform(0.05, 0.2)
    return [crown, line((-trunk, 0.4), (-trunk, 1), (trunk, 1), (trunk, 0.4))]


def cross(random: np.random.Generator) -> list[Line]:
    arm = random.uniform(0.5, 1)
    return [line((-arm, -1), (arm, 1)), line((-arm, 1), (arm, -1)), line((-1, 0), (1, 0))]


FIGURES: list[Callable[[np.random.Generator], list[Line]]] = [
    *(star, spiral, heart, house, face, stick_man, flower, arrow, zigzag, grid, tree, cross)
]
