"""The whole tree at a glance: a dot a node, its colour Q, its size the visits."""

from __future__ import annotations

import math

from rstar.v1 import tree_pb2
from rstar_cli.treepage.html import Html, tag
from rstar_cli.treepage.outline import ROOT, Outline, mean, positions

WIDTH = 1200
ROW = 46
MARGIN = 16


def drawing(tree: Outline) -> Html:
    """An SVG whose dots link to the nodes."""
    places = positions(tree)
    if not places:
        return Html("")
    deepest = max(depth for _, depth in places.values())
    height = 2 * MARGIN + deepest * ROW
    points = {
        node_id: (MARGIN + share * (WIDTH - 2 * MARGIN), MARGIN + depth * ROW)
        for node_id, (share, depth) in places.items()
    }
    # Later elements cover earlier ones: the best path is drawn last.
    order = sorted(points, key=lambda node_id: node_id in tree.best)
    edges = [
        _edge(points[tree.nodes[node_id].parent], points[node_id], best=node_id in tree.best)
        for node_id in order
        if node_id != ROOT
    ]
    dots = [_dot(tree, node_id, points[node_id]) for node_id in order]
    return tag(
        "svg",
        edges,
        dots,
        class_="map",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label="The whole search tree",
    )


def _edge(above: tuple[float, float], below: tuple[float, float], *, best: bool) -> Html:
    (x1, y1), (x2, y2) = above, below
    middle = (y1 + y2) / 2
    line = f"M{x1:.1f} {y1:.0f}C{x1:.1f} {middle:.0f} {x2:.1f} {middle:.0f} {x2:.1f} {y2:.0f}"
    return tag("path", d=line, class_="best" if best else None)


def _dot(tree: Outline, node_id: int, point: tuple[float, float]) -> Html:
    node = tree.nodes[node_id]
    radius = 2.5 + 5.5 * math.log1p(node.visits) / math.log1p(tree.most_visits)
    classes = [colour(node), "best" if node_id in tree.best else ""]
    if node.terminal == tree_pb2.TERMINAL_ANSWER:
        classes.append("end")
    circle = tag("circle", cx=f"{point[0]:.1f}", cy=f"{point[1]:.0f}", r=f"{radius:.1f}")
    name = f"node {node_id}" + (f": {node.answer}" if node.answer else "")
    return tag(
        "a", tag("title", name), circle, href=f"#n{node_id}", class_=" ".join(filter(None, classes))
    )


def colour(node: tree_pb2.Node) -> str:
    """Q from red (-1) to green (+1), in steps: a policy forbids inline styles."""
    q = mean(node)
    if q is None:
        return "q-none"
    return f"q{round((max(-1.0, min(1.0, q)) + 1) * 5)}"
