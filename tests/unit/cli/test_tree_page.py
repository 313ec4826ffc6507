"""A tree page is self-contained, complete, and nothing in a model's text can act in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from rstar.v1 import tree_pb2
from rstar_cli.treepage import render
from rstar_cli.treepage.html import tag
from rstar_cli.treepage.outline import outline, positions
from tests.support.trees import HOSTILE, VERSIONS, grown_tree, path_to


@pytest.fixture(scope="module")
def hostile():
    return Page(render(grown_tree(120, seed=1, hostile=True)))


def test_the_only_script_and_style_are_the_ones_the_policy_names(hostile):
    [policy] = [
        attributes["content"]
        for name, attributes in hostile.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        [text] = hostile.raw[element]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_no_element_carries_code_or_style_or_an_address_outside_the_page(hostile):
    names = {name for name, _ in hostile.elements}
    assert not names & {"img", "iframe", "object", "embed", "link", "form", "base"}
    for _, attributes in hostile.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes


def test_hostile_text_is_shown_as_text(hostile):
    assert "<img src=x onerror=alert(1)>" in hostile.text
    assert "</pre></script><script>document.title='owned'</script>" in hostile.text


def test_control_and_reordering_characters_are_gone(hostile):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", hostile.text)


def test_every_node_and_every_dropped_candidate_is_on_the_page():
    tree = grown_tree(500, seed=3)
    page = Page(render(tree))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {f"n{node.id}" for node in tree.nodes if node.id} <= ids
    assert page.text.count("Dropped candidate") == len(tree.dropped)
    for shown in (VERSIONS.policy, VERSIONS.ppm, VERSIONS.sandbox, tree.problem.question):
        assert shown in page.text


def test_only_the_best_path_is_open_at_first():
    tree = grown_tree(200, seed=3)
    opened = re.findall(r'<li id="n(\d+)"[^>]*><details open>', render(tree))
    assert [int(i) for i in opened] == list(tree.result.trajectories[0].node_ids)


def test_the_best_path_is_the_one_of_the_selected_answer():
    tree = grown_tree(300, seed=4)
    chosen = next(t for t in tree.result.trajectories if t.answer != tree.result.answer)
    tree.result.answer = chosen.answer
    assert outline(tree).best_path == list(chosen.node_ids)


def test_a_search_without_any_node_has_a_page():
    tree = tree_pb2.Tree()
    tree.result.status = tree_pb2.SEARCH_STATUS_FAILED
    tree.result.failure.message = "policy <down>"
    assert "policy &lt;down&gt;" in render(tree)


def test_a_chain_deeper_than_the_recursion_limit_has_a_page():
    tree = tree_pb2.Tree()
    for i in range(1200):
        tree.nodes.add(id=i, parent=max(0, i - 1), depth=i)
    assert 'id="n1199"' in render(tree)


def test_a_damaged_tree_whose_parents_form_a_cycle_is_drawn_without_them():
    tree = tree_pb2.Tree()
    tree.nodes.add(id=0)
    tree.nodes.add(id=1, parent=2)
    tree.nodes.add(id=2, parent=1)
    assert list(outline(tree).depth_first()) == [0]
    render(tree)


def test_a_parent_is_drawn_above_the_middle_of_its_children():
    tree = grown_tree(80, seed=2)
    index = outline(tree)
    places = positions(index)
    for parent, children in index.children.items():
        shares = [places[child][0] for child in children]
        assert min(shares) <= places[parent][0] <= max(shares)
        assert {places[child][1] for child in children} == {places[parent][1] + 1}
    assert places[0][1] == 0
    assert path_to(tree, 5)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_tag_escapes_children_and_attributes(text):
    page = Page(str(tag("p", text, title=text)))
    assert [name for name, _ in page.elements] == ["p"]


class Page(HTMLParser):
    """What a browser would make of the markup."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.raw = {"script": [], "style": []}
        self.text = ""
        self._in = None
        self.feed(markup)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        self._in = name
        if name in self.raw:
            self.raw[name].append("")

    def handle_endtag(self, name):
        self._in = None

    def handle_data(self, data):
        if self._in in self.raw:
            self.raw[self._in][-1] += data
        else:
            self.text += data
