"""The table of calls, told in both faces to Go's agent and to ours."""

import folkmoot
import pytest
from calls import Story, stories
from faces import GO

AGENTS = {"any": ("go", "folkmoot"), "go": ("go",), "folkmoot": ("folkmoot",)}
CASES = [(story, agent) for story in stories() for agent in AGENTS[story["agent"]]]


@pytest.mark.parametrize(("story", "agent"), CASES, ids=[f"{story['name']}-{agent}" for story, agent in CASES])
def test_an_agent_answers_as_the_table_says(face, agents, story, agent):
    started = agents(raft=False, program=GO) if agent == "go" else agents()
    (node,) = started.nodes
    moot = face.connect(node.address, codec=folkmoot.Text)
    told = Story(moot, {"$node": node.name, "$address": node.gossip})
    for step in story["steps"]:
        told.step(step)
