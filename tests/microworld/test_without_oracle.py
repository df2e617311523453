"""The loop's side of the microworld works with the oracle deleted."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["workers.microworld.oracle"] = None
import workers.microworld.build
from workers.microworld.generator import generate_documents
from workers.microworld.skills import skills_exemplars
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams
print(len(list(generate_documents(WorldParams(), 0, 3))))
print(len(list(skills_exemplars(WorldParams(), 0, 3))), len(build_tokenizer()) > 200)
"""


def test_documents_skills_and_tokenizer_need_no_oracle():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["3", "3", "True"], done.stderr
