"""Commands that the documentation names exist, with their options."""

import documented
import pytest
from documented import DOCS, ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md", *sorted(
        (ROOT / "tests").glob("goldens/*/README.md"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_exist(page):
  found = documented.commands(page)
  if page.stem != "CHANGELOG":  # which names what there was
    found += documented.commands_of_sentences(page)
  for words in found:
    assert not documented.mistake(words), words


def test_commands_are_found(tmp_path):
  page = tmp_path / "page.md"
  page.write_text(
      """
Call `make all
test-all`, never `make`, `makers` or `x = 1`; `distill-jax methods [NAME]`.

    A=1 srun python experiments/x.py \\
      --data="a b" [--size=3]  # fast
    pip install '.[data,kernels]'

```sh
distill-jax completion fish | source
cd x
```

```python
print("python experiments/y.py")
```
""")
  assert documented.commands(page) == [[
      "python", "experiments/x.py", "--data=a b", "--size=3"
  ], ["pip", "install", ".[data,kernels]"],
                                       ["distill-jax", "completion", "fish"]]
  assert documented.commands_of_sentences(page) == [["make", "all", "test-all"],
                                                    [
                                                        "distill-jax",
                                                        "methods", "NAME"
                                                    ]]


def test_targets_of_a_makefile():
  found = documented.targets(
      "all: x\n\tmake it\n\n$(A)/.b: c\nt-all: d\nX := y")
  assert found == {"all", "t-all"}


DISTILL = "python experiments/distill.py"


@pytest.mark.parametrize(
    "command", [
        "make test lint", "distill-jax data digits",
        "distill-jax distill DATA --per-class 2 --set num_steps=3",
        "distill-jax report compare RUN RUN --out x.html",
        f"{DISTILL} --config=experiments/configs/METHOD.py:x --workdir=A",
        f"{DISTILL} --data_dir=A --config.method.num_steps=2 --print_config",
        "python benchmarks/memory.py unroll --out=x.json",
        "python -m distill_jax.data.pack folder:a b --size=8"
    ])
def test_right_commands_pass(command):
  assert not documented.mistake(command.split())


@pytest.mark.parametrize(
    "command", [
        "make tests", "distill-jax distil digits",
        "distill-jax distill digits --per-clas 1",
        "distill-jax distill digits --per-class one",
        "distill-jax report compare --out x.html",
        "distill-jax completion bosh", "python experiments/dist.py",
        f"{DISTILL} --config=experiments/configs/none.py",
        f"{DISTILL} --work=A", f"{DISTILL} --methods=dm",
        "python experiments/sweep.py --config=x",
        "python benchmarks/memory.py unrol",
        "python benchmarks/memory.py unroll --num_step=1",
        "python -m distill_jax.data.pack folder:a b --sizes=8"
    ])
def test_wrong_commands_are_noticed(command):
  assert documented.mistake(command.split())
